"""The controller: placement, failover, election and fencing without a store."""

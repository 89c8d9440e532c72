"""What the cluster decides: placement, failover, maintenance. Empty while there is one server."""

"""The takeover protocol as pure code: no clock is read here, nothing is sent, nothing is run.

Implements docs/developers/takeover.md. The keeper (nodeagent/ownership) drives `owner`, the controller's
failover drives `taker`; both write the store only by `transactions`. tests/unit/protocol runs this very code
in a model of clocks, pauses, networks and fences.
"""

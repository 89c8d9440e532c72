"""What operators do with the cluster: see all of it at once, move groups, empty nodes, say that a node is off.

Every wish is a record in the store; the controller and the keepers carry it out. The command line and the console
use it.
"""

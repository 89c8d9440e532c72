"""Cluster tests: several nodes, or one under load with things failing. Each takes the nodes it needs from `lab`."""

"""Health of what runs here: protocol probes, and what an operator is told."""

"""What a node acts on: units, cgroups, volumes and addresses. Each act is small, idempotent and has a deadline."""

"""The shared vocabulary: names, nodes, groups, instances, store keys and timing.

Everything else imports this room; it imports nothing of the project but errors.
"""

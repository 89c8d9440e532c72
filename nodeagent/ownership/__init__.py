"""The keeper: a small process of its own that holds the session and owns the groups.

No engine code lives here, so a stall in rendering can never cost ownership, and
restarting or upgrading the agent never touches what runs.
"""

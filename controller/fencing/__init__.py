"""Fencing by Debian's fence-agents: `agent` speaks with one program, `desk` runs them beside the controller's loop.

What a program answers to an order is noted and proves nothing: a fence is verified only by a reading of the power's
state that says off, taken after the order (docs/developers/ownership.md).
"""

"""Telling the operator that mail itself is down, by ways that do not need this mail system.

`hysteresis` decides what to tell, purely; `channels` are the ways; `send` is the program that goes them, so that
agent and controller hold nothing for it.
"""

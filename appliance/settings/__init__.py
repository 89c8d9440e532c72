"""The settings registry: one source for every parameter's name, kind, bounds, default, scopes and texts.

It feeds validation, the command line, the API, the console's forms, the agents
and the reference documents. `sections/` holds the parameters, `registry` finds
them, `layers` works out effective values, `service` reads and writes them.
"""

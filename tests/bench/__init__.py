"""Benchmarks against the bare engines: `sudo ./run bench NAME` (docs/benchmarks.md).

Each boots two nodes of the shipped root filesystem on one lab: `posthouse`, as
`posthouse init` makes it, and `bare`, with the same versions of the engines under
the smallest configuration that people write by hand. Rounds alternate between the
two; tables give medians, ratios and their spread.
"""

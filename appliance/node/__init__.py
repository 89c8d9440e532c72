"""Facts about the server that this runs on: hardware, system, time, memory, storage, network, jobs, boots.

`facts.gather()` reads them all for `posthouse node show` and the console; the
agent reads single ones (`clock.read()`). Everything is read with a deadline, and
what cannot be read is None or empty, never an error: these pages are opened when
something is wrong.
"""

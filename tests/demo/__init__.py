"""The demo, `./run demo`: three nodes that share a volume, one message sent and read for real, a small load.

The root filesystem, the package and the commands are those of a real server; only
the generated passwords and the ports on 127.0.0.1 are the demo's own.
"""

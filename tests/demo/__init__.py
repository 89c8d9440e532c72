"""The demo, `./run demo`: one node, one domain, two mailboxes, one message sent and read for real.

The root filesystem, the package and the commands are those of a real server; only
the generated passwords and the ports on 127.0.0.1 are the demo's own.
"""

"""`line.py FD HOST COMMAND…`: what rsync(1) starts as its remote shell.

Hands its two ends of rsync's line, and the command, to who holds the other end of socket FD, and ends with the exit
status that it is told. Runs as the account that mail belongs to and knows nothing of certificates. The standard
library alone: it is started for each copy.
"""

from __future__ import annotations

import json
import os
import socket
import sys

#: Longest command.
LONGEST = 4096


def main() -> None:
    """Entry point."""
    line = socket.socket(fileno=int(sys.argv[1]))
    socket.send_fds(line, [json.dumps(sys.argv[3:]).encode()], [0, 1])
    os.close(0)
    os.close(1)
    told = line.recv(1)
    sys.exit(told[0] if told else 1)


if __name__ == "__main__":
    main()

"""Have a script run by a warm process (warm.py): python warm_client.py SOCKET SCRIPT [ARGUMENT ...]

Imports little, since it starts once a job; ends with the script's exit status, and takes it along when
killed.
"""

import json
import os
import signal
import socket
import sys


def main() -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(sys.argv[1])
        request = {"arguments": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        connection.shutdown(socket.SHUT_WR)
        answers = connection.makefile()
        process = int(answers.readline() or 0)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: process and os.kill(process, number))
        return int(answers.readline() or 137)  # no answer: it was killed


if __name__ == "__main__":
    sys.exit(main())

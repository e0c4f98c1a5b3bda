"""Have a script run by a warm process (warm.py): python warm_client.py SOCKET SCRIPT [ARGUMENT ...]

Imports little, since it starts once a job; ends with the script's exit status, and takes it along when
killed. What is no script (an option of Python's), and a script where there is no such process, is left to an
ordinary Python.
"""

import json
import os
import signal
import socket
import sys


def main() -> int:
    arguments, process, early = sys.argv[2:], 0, []

    def pass_on(number: int, _: object) -> None:
        os.kill(process, number) if process else early.append(number)

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            if arguments[0].startswith("-"):
                raise ConnectionError
            connection.connect(sys.argv[1])
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, pass_on)
            request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
            socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
            connection.shutdown(socket.SHUT_WR)
            answers = connection.makefile()
            process = int(answers.readline())
        except (OSError, ValueError):  # nobody there, or gone before it began
            os.execv(sys.executable, [sys.executable, *arguments])
        for number in early:
            os.kill(process, number)
        return int(answers.readline() or 137)  # no answer: it was killed


if __name__ == "__main__":
    sys.exit(main())

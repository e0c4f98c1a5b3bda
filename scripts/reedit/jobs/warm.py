"""Scripts that start at once: forks of one process that has imported what they all need.

Importing torch and transformers takes a Python six seconds, which hundreds of small jobs cannot afford. A
scheduler that is given what `warm` yields, in place of its Python, sends each script to that process, which
forks for it: the script runs with its own arguments, environment, working directory, standard streams and
exit status. Nothing may be computed before a fork (a thread does not survive one), so the process imports and
waits.
"""

import importlib
import json
import os
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

STREAMS = 3  # standard input, output and error travel with every request


@contextmanager
def warm(modules: Sequence[str], environment: dict[str, str] | None = None) -> Iterator[str]:
    """A process that has imported `modules`, while the block lasts; yields what stands for Python.

    The command is to be followed by a script and its arguments, in a shell. What still runs when the block is
    left is ended. Raises RuntimeError where a module cannot be imported.
    """
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        address = Path(folder) / "socket"
        server = subprocess.Popen(
            [sys.executable, "-m", "reedit.jobs.warm", str(address), *modules],
            stdin=subprocess.PIPE,  # closed with this process, however it ends
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        try:
            if server.stdout.readline() != b"warm\n":
                raise RuntimeError(f"no process that has imported {', '.join(modules)}; see above")
            client = [
                sys.executable,
                "-I",
                "-S",
                str(Path(__file__).with_name("warm_client.py")),
                str(address),
            ]
            yield shlex.join(client)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def serve(address: str, modules: Sequence[str]) -> None:
    """Import `modules`, then fork for every request on `address` until standard input is closed."""
    for module in modules:
        importlib.import_module(module)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(address)
        listening.listen(64)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no trace
        print("warm", flush=True)
        if os.fork() == 0:  # ends all of it with the process that has asked for it
            os.read(0, 1)
            os.killpg(0, signal.SIGTERM)
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Run what a connection asks for, in this process, and tell its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams, _, _ = socket.recv_fds(connection, 1 << 22, STREAMS, socket.MSG_WAITALL)
    asked = json.loads(request)
    connection.sendall(f"{os.getpid()}\n".encode())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    status = _run(asked)
    with suppress(OSError):
        connection.sendall(f"{status}\n".encode())
    os._exit(status)


def _run(asked: dict) -> int:
    """The exit status of a script."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    sys.argv = asked["arguments"]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    return status


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2:])

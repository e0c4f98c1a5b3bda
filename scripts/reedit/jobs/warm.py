"""Scripts that start at once: forks of one process that has imported what they all need.

Importing torch and transformers takes a Python six seconds, which hundreds of small jobs cannot afford. A
scheduler that is given what `warm` yields, in place of its Python, sends each script to that process, which
forks for it: the script runs with its own arguments, environment, working directory, standard streams and
exit status. Nothing may be computed before a fork (a thread does not survive one), so the process imports and
waits. A scheduler that measures what it has started measures the client alone: of Snakemake's benchmark files
the seconds hold, memory and processor time do not (a job's log says its peak memory).
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

STREAMS = 3  # standard input, output and error travel with every request


@contextmanager
def warm(
    modules: Sequence[str],
    environment: Mapping[str, str] | None = None,
    threads: int = 1,
    errors: TextIO | None = None,
) -> Iterator[str]:
    """A process that imports `modules`, while the block lasts; yields at once what stands for Python.

    The command is to be followed by a script and its arguments, in a shell; a script waits until all is
    imported. Where that fails, `errors` (by default the terminal) is told, and a script runs as by an
    ordinary Python, which says itself what is missing. What still runs when the block is left is ended.
    `threads`: that most scripts compute with (OMP_NUM_THREADS); one that is given another number sets it for
    torch.
    """
    environment = {**(os.environ if environment is None else environment)}
    environment |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="warm-", dir=_short_folder()) as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening,
    ):
        address = Path(folder) / "socket"
        listening.bind(str(address))
        listening.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-m", "reedit.jobs.warm", str(listening.fileno()), *modules],
            stdin=subprocess.PIPE,  # closed with this process, however it ends
            stderr=errors,
            pass_fds=[listening.fileno()],
            env=environment,
            start_new_session=True,
        )
        listening.close()  # from now on the server's alone
        client = Path(__file__).with_name("warm_client.py")
        try:
            yield shlex.join([sys.executable, "-I", "-S", str(client), str(address)])
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _short_folder() -> str:
    """The temporary directory; /tmp where its path is too long for a socket's address, of some 100 bytes."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) <= 80 else "/tmp"


def serve(listening: socket.socket, modules: Sequence[str]) -> None:
    """Import `modules`, then fork for every request on `listening` until standard input is closed."""
    if os.fork() == 0:  # ends all of it with the process that has asked for it
        listening.close()
        os.read(0, 1)
        os.killpg(0, signal.SIGTERM)
    for module in modules:
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children leave no trace
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
    if not request:  # whoever asked has ended already
        os._exit(1)
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
    threads = os.environ["OMP_NUM_THREADS"]
    os.environ.clear()
    os.environ.update(asked["environment"])
    if "torch" in sys.modules and (wanted := os.environ.get("OMP_NUM_THREADS", threads)) != threads:
        sys.modules["torch"].set_num_threads(int(wanted))  # the variable was read when it was imported
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
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])

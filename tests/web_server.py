"""A web server on 127.0.0.1 that misbehaves as it is told."""

import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: bytes = b""


@dataclass
class Site:
    """A running server: `answers` by path, in turn, the last of them for good; `asked` is what came."""

    address: str = ""
    answers: dict[str, list["Answer"]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def says(self, path: str, *answers: "Answer") -> str:
        """Set what `path` answers; its whole address."""
        self.answers[path] = list(answers)
        return self.address + path

    def ranges(self) -> list[str | None]:
        """The range that each request asked for."""
        return [request.headers.get("Range") for request in self.asked]


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        path = self.path.partition("?")[0]
        self.site.asked.append(Asked(self.command, path, dict(self.headers), self.rfile.read(length)))
        answers = self.site.answers.get(path, [status(404)])
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_POST = do_GET

    def start(self, code: int, headers: Mapping[str, str | int]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


Answer = Callable[[Handler], None]


@contextmanager
def running() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"site": site}))
    server.daemon_threads = True
    server.block_on_close = False
    site.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()


def status(code: int, **headers: str) -> Answer:
    """A bare status; `headers` with underscores for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda to: to.start(code, {"Content-Length": 0} | named)


def redirect(address: str, code: int = 302) -> Answer:
    return status(code, Location=address)


def content(
    body: bytes,
    etag: str | None = '"v1"',
    ranges: bool = True,
    stop: int | None = None,
    stall: bool = False,
    length: int | None = None,
    encoding: str | None = None,
) -> Answer:
    """A file; `ranges`: parts of it can be had, by its `etag`.

    After `stop` bytes the connection ends, or goes silent if `stall`; `length` is a Content-Length that lies,
    `encoding` a Content-Encoding that was not asked for.
    """

    def answer(to: Handler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
        begin = int(asked[1]) if asked and ranges and to.headers.get("If-Range", etag) == etag else 0
        if begin >= len(body) > 0:
            return to.start(416, {"Content-Length": 0, "Content-Range": f"bytes */{len(body)}"})
        told = {"Content-Length": len(body) - begin if length is None else length}
        told |= {"ETag": etag} if etag else {}
        told |= {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}"} if begin else {}
        told |= {"Content-Encoding": encoding} if encoding else {}
        to.start(206 if begin else 200, told)
        to.wfile.write(body[begin : begin + stop if stop is not None else None])
        if stall:
            to.wfile.flush()
            to.site.closing.wait(20)
        return None

    return answer


def nothing(to: Handler) -> None:
    """The connection is reset before any answer."""
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    to.connection.close()


def silence(to: Handler) -> None:
    """Not a byte, for as long as the test lasts."""
    to.site.closing.wait(20)


def noise(to: Handler) -> None:
    """Something that is no HTTP."""
    to.wfile.write(b"\x00\x01 what?\r\n\r\n")

"""Downloads over https that go on where they stopped.

What may pass, a connection that breaks or stalls and a server that is busy, is tried again after a while,
from where it stopped if the server allows it. What will not pass, such as a 404, a refusal or another
checksum, fails at once.
"""

import hashlib
import logging
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import IncompleteRead
from pathlib import Path
from socket import gaierror
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from requests.exceptions import ConnectTimeout, InvalidSchema, TooManyRedirects

from reedit.jobs.progress import progress
from reedit.jobs.redaction import without_secrets
from reedit.storage.files import file_sha256, flush

PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another attempt may change
LONGEST_WAIT = 60.0  # seconds between two attempts, whatever a server asks for
PIECE = 1 << 16  # bytes; what an interruption may lose
STRONG_ETAG = re.compile(r'"[!#-~]*"')  # W/"..." would be a weak one
LOOPBACK = "http://127.0.0.1:"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Checksum:
    """What a file has to be: its sha256, or its id in git (a sha1), which a hub lists for small files."""

    value: str
    git: bool = False

    def check(self, path: Path) -> None:
        """Raise ChecksumError if the file is another one."""
        name, of = ("git blob id", git_blob_id) if self.git else ("sha256", file_sha256)
        if (found := of(path)) != self.value:
            raise ChecksumError(f"{name} is {found}, expected {self.value}")


def git_blob_id(path: Path) -> str:
    """The id under which git keeps a file's content."""
    start = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: start).hexdigest()


class DownloadError(Exception):
    """Why a download failed, in a few words without secrets; `code`: the server's own (X-Error-Code)."""

    def __init__(self, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.code = code


class ChecksumError(DownloadError):
    """A whole file came, and it is another one."""


class _Passing(Exception):
    """A failure that another attempt may mend; `wait`: seconds that the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Bearer(AuthBase):
    """A token or none, and nothing from the user's .netrc; requests drops it on the way to another host."""

    def __init__(self, token: str | None) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Web:
    """The web as this workflow asks it: https alone, wherever a server redirects to, and with patience.

    `timeout`: seconds without a byte, at most 10 of them for a connection; `attempts`: so many in a row
    without anything new; `backoff`: seconds before the second attempt, twice as many before each later one.
    `loopback` is for tests: servers on 127.0.0.1 may then do without https.
    """

    def __init__(
        self, timeout: float = 60.0, attempts: int = 4, backoff: float = 2.0, loopback: bool = False
    ) -> None:
        self.timeout = (min(timeout, 10.0), timeout)  # to connect, between two bytes
        self.attempts, self.backoff = attempts, backoff
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings hold whole addresses
        self.session = requests.Session()
        self.session.max_redirects = 10
        self.session.headers["Accept-Encoding"] = "identity"  # a byte counted is a byte kept
        self.session.adapters.clear()  # an address without an adapter is refused, a redirection's too
        for prefix in ["https://", *([LOOPBACK] if loopback else [])]:
            self.session.mount(prefix, HTTPAdapter())

    def ask(
        self, what: str, url: str, token: str | None = None, form: dict[str, list[str]] | None = None
    ) -> requests.Response:
        """The whole answer to a GET, or to a POST of `form`. Raises DownloadError."""

        def attempt() -> requests.Response:
            method, how = ("POST" if form else "GET"), {"auth": _Bearer(token), "timeout": self.timeout}
            with _translated(*self.timeout):
                answer = self.session.request(method, url, data=form, **how)
                _check_status(answer)
                return answer

        return self._patiently(what, attempt, lambda: 0)

    def download(
        self,
        what: str,
        url: str,
        target: Path,
        expected: Checksum,
        token: str | None = None,
    ) -> None:
        """Bring `url` into the file `target`, which appears once its checksum is as expected.

        What has come so far lies beside it, as .{name}.part; the next call goes on from there. `what` names
        the download in the log. Raises DownloadError, and ChecksumError for a whole file that is another one.
        """
        part = target.with_name(f".{target.name}.part")
        for again in (False, True):
            begin = self._patiently(what, lambda: self._receive(what, url, part, token), lambda: _size(part))
            try:
                expected.check(part)
            except ChecksumError:
                part.unlink()
                _note(part).unlink()
                if again or not begin:  # put together of pieces, it may be no one's fault: once more, in one
                    raise
            else:
                flush(part)
                part.rename(target)
                _note(part).unlink()
                return

    def _receive(self, what: str, url: str, part: Path, token: str | None) -> int:
        """One attempt; returns the byte at which it began."""
        begin, etag = _size(part), _noted_etag(part)
        resumed = {"Range": f"bytes={begin}-", "If-Range": etag} if begin and etag else {}
        asked = {"headers": resumed, "auth": _Bearer(token), "timeout": self.timeout, "stream": True}
        with _translated(*self.timeout), self.session.get(url, **asked) as answer:
            if resumed and answer.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return begin  # nothing is left to come; the checksum decides
            _check_status(answer)
            begin = begin if resumed and answer.status_code == HTTPStatus.PARTIAL_CONTENT else 0
            with open(part, "ab" if begin else "wb") as file:
                if not begin:
                    _note(part).write_text(_strong_etag(answer))
                report, done = _megabytes(what, begin, answer), begin
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
                    done += len(piece)
                    report(done)
                report(None)
        return begin

    def _patiently(self, what: str, attempt: Callable[[], Result], kept: Callable[[], int]) -> Result:
        """The result of `attempt`, repeated while it fails of what may pass; `kept`: bytes there by now."""
        failures, most = 0, kept()
        while True:
            try:
                return attempt()
            except _Passing as error:
                failures = 1 if kept() > most else failures + 1
                most = max(most, kept())
                if failures >= self.attempts:
                    raise DownloadError(f"{error}; {failures} attempts") from error
                wait = min(max(self.backoff * 2 ** (failures - 1), error.wait), LONGEST_WAIT)
                logging.getLogger("reedit").warning("%s: %s; again in %.0f s", what, error, wait)
                time.sleep(wait)


@contextmanager
def _translated(connecting: float, waiting: float) -> Iterator[None]:
    """Tell a failure of the network that may pass (_Passing) from one that will not (DownloadError)."""
    try:
        yield
    except InvalidSchema as error:
        raise DownloadError("it leads to a place without https") from error
    except TooManyRedirects as error:
        raise DownloadError("it redirects without end") from error
    except ConnectTimeout as error:
        raise _Passing(f"no connection for {connecting:g} s") from error
    except (requests.RequestException, ValueError) as error:  # an address that no one can read is the latter
        root = _root(error)
        if isinstance(error, ValueError) or isinstance(root, ssl.SSLCertVerificationError):
            raise DownloadError(_reason(root)) from error
        stalled = isinstance(root, TimeoutError)
        raise _Passing(f"nothing came for {waiting:g} s" if stalled else _reason(root)) from error


def _reason(error: BaseException) -> str:
    """A few words on one line, which may be the server's."""
    if isinstance(error, IncompleteRead):
        return "the connection ended early"
    if isinstance(error, gaierror):
        return "its host is not found, is there a network?"
    told = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return without_secrets("".join(c if c.isprintable() else " " for c in told).strip())


def _root(error: BaseException) -> BaseException:
    """What an error came from in the first place: the libraries wrap it several times."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__
    return error


def _check_status(answer: requests.Response) -> None:
    code = answer.status_code
    if code in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    # the standard's words, not the server's
    told = f"{code} {HTTPStatus(code).phrase}" if code in set(HTTPStatus) else str(code)
    if code in PASSING:
        asked = answer.headers.get("Retry-After", "")
        raise _Passing(told, float(asked) if asked.isdecimal() else 0.0)
    raise DownloadError(told, answer.headers.get("X-Error-Code"))


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    """Where the ETag of what has come so far is kept."""
    return part.with_suffix(".etag")


def _noted_etag(part: Path) -> str:
    """The ETag of what has come so far, empty where none was noted or the note is damaged."""
    etag = _note(part).read_text(errors="replace") if _note(part).exists() else ""
    return etag if STRONG_ETAG.fullmatch(etag) else ""


def _strong_etag(answer: requests.Response) -> str:
    """The ETag by which a server knows the very same bytes again, empty where there is none."""
    etag = answer.headers.get("ETag", "")
    return etag if STRONG_ETAG.fullmatch(etag) and "Content-Encoding" not in answer.headers else ""


def _megabytes(what: str, begin: int, answer: requests.Response) -> Callable[[int | None], None]:
    """A function to call with the bytes there are by now, None at the end; silent where no size is known."""
    length = answer.headers.get("Content-Length", "")
    if not length.isdecimal():
        return lambda done: None
    total = max(1, -(-(begin + int(length)) // 10**6))
    report = progress(f"{what}, MB", total, begun=begin // 10**6)
    # the last megabyte is told once, at the end
    return lambda done: report(total if done is None else min(done // 10**6, total - 1))

"""Downloads from a server that stalls, breaks off, lies and refuses: tried again, resumed or told."""

import logging
import random
import ssl
import time
from collections.abc import Iterator
from hashlib import sha1, sha256
from pathlib import Path

import pytest
import requests
from web_server import Handler, Site, content, noise, nothing, redirect, running, silence, status

from reedit.fetch.downloads import Checksum, ChecksumError, DownloadError, Web, git_blob_id

BODY = random.Random(0).randbytes(400_000)
EXPECTED = Checksum(sha256(BODY).hexdigest())
HALF = 200_000


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


@pytest.fixture
def web() -> Web:
    """In a hurry, and on this machine."""
    return Web(timeout=0.3, attempts=3, backoff=0.01, loopback=True)


def fetched(web: Web, url: str, folder: Path, expected: Checksum = EXPECTED) -> bool:
    """Whether the download brings the body, and leaves nothing beside it."""
    web.download("body", url, folder / "body.bin", expected)
    return (folder / "body.bin").read_bytes() == BODY and [p.name for p in folder.iterdir()] == ["body.bin"]


def refused(web: Web, url: str, folder: Path, message: str, expected: Checksum = EXPECTED) -> None:
    """The download fails with a message, and no file that could be taken for the whole one is there."""
    with pytest.raises(DownloadError, match=message) as caught:
        web.download("body", url, folder / "body.bin", expected)
    assert "\n" not in str(caught.value)
    assert all(path.name.startswith(".") for path in folder.iterdir())


def test_a_file_comes_in_one_request(site: Site, web: Web, tmp_path: Path) -> None:
    assert fetched(web, site.says("/body", content(BODY)), tmp_path)
    assert site.ranges() == [None] and site.asked[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("trouble", [status(503), status(500), status(429), nothing, silence, noise])
def test_what_may_pass_is_tried_again(trouble, site: Site, web: Web, tmp_path: Path) -> None:
    assert fetched(web, site.says("/body", trouble, trouble, content(BODY)), tmp_path)
    assert len(site.asked) == 3


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (status(500), r"500 Internal Server Error; 3 attempts"),
        (silence, r"nothing came for 0\.3 s; 3 attempts"),
        (nothing, r"Connection reset by peer; 3 attempts"),
    ],
    ids=["server", "silent", "reset"],
)
def test_what_does_not_pass_after_all_is_told_with_the_attempts(
    answer, message: str, site: Site, web: Web, tmp_path: Path
) -> None:
    refused(web, site.says("/body", answer), tmp_path, message)
    assert len(site.asked) == 3


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 451, 501])
def test_an_answer_that_stays_is_not_asked_for_twice(code: int, site: Site, web: Web, tmp_path: Path) -> None:
    refused(web, site.says("/body", status(code)), tmp_path, f"^{code} ")
    assert len(site.asked) == 1 and not list(tmp_path.iterdir())


def test_a_whole_file_of_another_checksum_is_not_asked_for_twice(
    site: Site, web: Web, tmp_path: Path
) -> None:
    page = b"<html>log in</html>"
    message = f"sha256 is {sha256(page).hexdigest()}, expected {EXPECTED.value}"
    refused(web, site.says("/body", content(page)), tmp_path, message)
    assert len(site.asked) == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("stall", [False, True], ids=["breaks off", "stalls"])
def test_a_download_goes_on_where_it_broke_off(stall: bool, site: Site, web: Web, tmp_path: Path) -> None:
    url = site.says("/body", content(BODY, stop=HALF, stall=stall), content(BODY))
    assert fetched(web, url, tmp_path)
    begin = int(site.ranges()[1].removeprefix("bytes=").removesuffix("-"))
    assert HALF - 70_000 < begin <= HALF and site.asked[1].headers["If-Range"] == '"v1"'


def test_attempts_that_bring_something_new_do_not_count(site: Site, web: Web, tmp_path: Path) -> None:
    url = site.says("/body", *[content(BODY, stop=70_000)] * 5, content(BODY))
    assert fetched(web, url, tmp_path)
    assert len(site.asked) == 6, "more than the three attempts, as each got further"


@pytest.mark.parametrize(
    "first",
    [
        content(BODY, stop=HALF, etag=None),
        content(BODY, stop=HALF, etag='W/"weak"'),
        content(BODY, stop=HALF, encoding="identity"),
    ],
    ids=["no etag", "weak etag", "encoded"],
)
def test_without_a_strong_etag_a_download_begins_anew(first, site: Site, web: Web, tmp_path: Path) -> None:
    assert fetched(web, site.says("/body", first, content(BODY)), tmp_path)
    assert site.ranges() == [None, None]


@pytest.mark.parametrize("ranges", [True, False], ids=["changed since", "no ranges"])
def test_a_server_that_sends_the_whole_file_again_is_taken_at_its_word(
    ranges: bool, site: Site, web: Web, tmp_path: Path
) -> None:
    other = content(BODY[::-1], etag='"v0"', stop=HALF)
    assert fetched(web, site.says("/body", other, content(BODY, ranges=ranges)), tmp_path)
    assert site.ranges()[1] and len(site.asked) == 2


def test_pieces_that_do_not_fit_together_are_fetched_once_more_in_one(
    site: Site, web: Web, tmp_path: Path
) -> None:
    """A file changed on the server under the same ETag, or a piece was damaged on this disk."""
    url = site.says("/body", content(BODY[::-1], stop=HALF), content(BODY))
    assert fetched(web, url, tmp_path)
    assert [bool(asked) for asked in site.ranges()] == [False, True, False]


def test_pieces_that_never_fit_together_are_given_up(site: Site, web: Web, tmp_path: Path) -> None:
    url = site.says("/body", content(BODY, stop=HALF), content(BODY))
    with pytest.raises(ChecksumError):
        web.download("body", url, tmp_path / "body.bin", Checksum("0" * 64))
    assert len(site.asked) == 3 and not list(tmp_path.iterdir())


def test_a_length_that_promises_more_than_comes_is_a_broken_download(
    site: Site, web: Web, tmp_path: Path
) -> None:
    url = site.says("/body", content(BODY, length=len(BODY) + 100, ranges=False))
    refused(web, url, tmp_path, "^the connection ended early; 3 attempts$")


def test_a_length_that_promises_less_than_the_file_is_another_checksum(
    site: Site, web: Web, tmp_path: Path
) -> None:
    refused(web, site.says("/body", content(BODY, length=1000)), tmp_path, "sha256 is ")


def test_a_server_that_always_breaks_off_is_given_up_and_the_piece_stays(
    site: Site, web: Web, tmp_path: Path
) -> None:
    refused(web, site.says("/body", content(BODY, stop=HALF, ranges=False)), tmp_path, "; 3 attempts")
    assert 0 < (tmp_path / ".body.bin.part").stat().st_size <= HALF
    site.says("/body", content(BODY))
    assert fetched(web, site.address + "/body", tmp_path) and site.ranges()[-1]


def test_a_piece_that_is_already_whole_is_not_fetched_again(site: Site, web: Web, tmp_path: Path) -> None:
    (tmp_path / ".body.bin.part").write_bytes(BODY)
    (tmp_path / ".body.bin.etag").write_text('"v1"')
    assert fetched(web, site.says("/body", content(BODY)), tmp_path)
    assert site.ranges() == [f"bytes={len(BODY)}-"]


def test_after_a_damaged_note_a_download_begins_anew(site: Site, web: Web, tmp_path: Path) -> None:
    (tmp_path / ".body.bin.part").write_bytes(BODY[:HALF])
    (tmp_path / ".body.bin.etag").write_bytes(b"\0\0\xff\n")
    assert fetched(web, site.says("/body", content(BODY)), tmp_path) and site.ranges() == [None]


def test_the_note_outlives_the_download_until_the_file_is_checked(
    site: Site, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while a large file is hashed, the next call has nothing to fetch."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checksum, "check", killed)
        with pytest.raises(KeyboardInterrupt):
            web.download("body", site.says("/body", content(BODY)), tmp_path / "body.bin", EXPECTED)
    assert fetched(web, site.address + "/body", tmp_path)
    assert site.ranges() == [None, f"bytes={len(BODY)}-"]


def test_a_server_may_ask_for_more_patience_within_reason(
    site: Site, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    busy = [status(503, Retry_After="7"), status(503, Retry_After="86400")]
    with caplog.at_level(logging.INFO, "reedit"):
        assert fetched(web, site.says("/body", *busy, content(BODY)), tmp_path)
    assert slept == [7, 60]
    assert "body: 503 Service Unavailable; again in 7 s" in caplog.text


def test_waits_grow(site: Site, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    web.attempts = 5
    refused(web, site.says("/body", status(502)), tmp_path, "5 attempts")
    assert slept == [0.01, 0.02, 0.04, 0.08]


def test_progress_tells_what_how_far_and_goes_on_from_the_piece(
    site: Site, web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = BODY * 6
    expected = Checksum(sha256(large).hexdigest())
    url = site.says("/body", content(large, stop=1_500_000), content(large))
    with caplog.at_level(logging.INFO, "reedit"):
        web.download("body", url, tmp_path / "body.bin", expected)
    assert caplog.messages[-1].startswith("body, MB: 3 of 3 (100 %), in ")
    assert len(caplog.messages) == 2, "the second attempt, and the end"


def test_a_place_without_https_is_not_even_asked(site: Site, web: Web, tmp_path: Path) -> None:
    refused(Web(), site.says("/body", content(BODY)), tmp_path, "a place without https")
    elsewhere = site.address.replace("127.0.0.1", "localhost") + "/body"  # which is no loopback by name
    refused(web, site.says("/away", redirect(elsewhere)), tmp_path, "a place without https")
    refused(web, site.says("/file", redirect("file:///etc/passwd")), tmp_path, "a place without https")
    assert [request.path for request in site.asked] == ["/away", "/file"]


def test_a_redirection_without_end_is_told(site: Site, web: Web, tmp_path: Path) -> None:
    refused(web, site.says("/body", redirect("/body")), tmp_path, "redirects without end")
    assert len(site.asked) == 11


def test_an_address_that_no_one_can_read_is_told(site: Site, web: Web, tmp_path: Path) -> None:
    refused(web, site.says("/body", redirect("https://[no/")), tmp_path, "Invalid IPv6 URL")
    assert len(site.asked) == 1


def test_what_a_server_says_cannot_play_with_the_terminal(site: Site, web: Web, tmp_path: Path) -> None:
    refused(web, site.says("/body", noise), tmp_path, r"^what\?; 3 attempts$")


def test_no_address_with_its_signature_is_warned_of(
    site: Site, web: Web, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """urllib3 tells of headers that it cannot read, and of where they came from."""

    def strange(to: Handler) -> None:
        to.wfile.write(b"HTTP/1.0 200 OK\r\nno header\r\nX: 1\r\n\r\n" + BODY)

    url = site.says("/body", redirect("/signed?signature=hush"))
    site.says("/signed", strange)
    with caplog.at_level(logging.WARNING):
        web.download("body", url, tmp_path / "body.bin", EXPECTED)
    assert "hush" not in caplog.text


def test_a_host_that_is_not_found_asks_for_a_network(tmp_path: Path) -> None:
    web = Web(attempts=1)
    message = r"^its host is not found, is there a network\?; 1 attempts$"
    refused(web, "https://nowhere.invalid/body?signature=hush", tmp_path, message)


def test_a_connection_that_does_not_come_is_waited_for_less_long(tmp_path: Path) -> None:
    web, waits = Web(attempts=1), []

    def away(*_: object, timeout: tuple[float, float], **__: object) -> None:
        waits.append(timeout)
        raise requests.exceptions.ConnectTimeout

    web.session.get = away
    refused(web, "https://127.0.0.1/body", tmp_path, "^no connection for 10 s; 1 attempts$")
    assert waits == [(10, 60)]


def test_a_certificate_that_is_not_trusted_is_not_asked_twice(site: Site, web: Web, tmp_path: Path) -> None:
    def untrusted(*_: object, **__: object) -> None:
        try:
            raise ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
        except ssl.SSLError as error:
            raise requests.exceptions.SSLError(error) from error

    web.session.get = untrusted
    with pytest.raises(DownloadError, match=r"certificate verify failed: self-signed certificate$"):
        web.download("body", "https://127.0.0.1/body", tmp_path / "body.bin", EXPECTED)


def test_a_token_goes_to_its_own_host_alone(site: Site, web: Web, tmp_path: Path) -> None:
    with running() as other:
        there = other.says("/signed", content(BODY))
        url = site.says("/body", redirect("/near"))
        site.says("/near", redirect(there + "?signature=hush"))
        web.download("body", url, tmp_path / "body.bin", EXPECTED, token="hush")
        assert [request.headers.get("Authorization") for request in site.asked] == ["Bearer hush"] * 2
        assert [request.headers.get("Authorization") for request in other.asked] == [None]


def test_what_the_netrc_says_is_not_sent(
    site: Site, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hush\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    web.download("body", site.says("/body", content(BODY)), tmp_path / "body.bin", EXPECTED)
    assert "Authorization" not in site.asked[0].headers


def test_the_id_of_a_small_file_is_that_of_git(site: Site, web: Web, tmp_path: Path) -> None:
    blob = sha1(b"blob %d\0" % len(BODY) + BODY).hexdigest()
    assert fetched(web, site.says("/body", content(BODY)), tmp_path, Checksum(blob, git=True))
    assert git_blob_id(tmp_path / "body.bin") == blob
    (tmp_path / "body.bin").unlink()
    url = site.address + "/body"
    refused(web, url, tmp_path, f"git blob id is {blob}, expected 00", Checksum("0" * 40, git=True))

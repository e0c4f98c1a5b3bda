"""Verified downloads: content of the expected sha256 in a folder that appears as a whole or not at all."""

import http.client
import io
import subprocess
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from configurations import SCHEMA, configuration
from huggingface_hub.errors import GatedRepoError, HTTPError, LocalEntryNotFoundError

from reedit import sources
from reedit.configuration import check_configuration
from reedit.errors import InputError
from reedit.sources import fetch, file_sha256, folder_sha256, payload, visible_files, visible_tree

CONTENT = b"some content"
HASH = sha256(CONTENT).hexdigest()
WHEEL = {
    "kind": "wheel",
    "package": "pack-age",
    "version": "1.2",
    "member": "pack/data/file.bin",
    "sha256": HASH,
}
URL = {"kind": "url", "url": "https://example.org/data/file.bin?x=1", "sha256": HASH}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A fetched source that is there already and must survive a failure."""
    (tmp_path / "sources" / "data").mkdir(parents=True)
    (tmp_path / "sources" / "data" / "old").write_text("old")
    return tmp_path / "sources" / "data"


def refused(source: dict[str, Any], place: Path, message: str) -> None:
    """The fetch fails with one line that names the source, and leaves things as they were."""
    with pytest.raises(InputError, match=message) as caught:
        fetch("data", source, place)
    assert str(caught.value).startswith("source data: ") and "\n" not in str(caught.value)
    assert [path.name for path in place.parent.iterdir()] == ["data"], "nothing half-written is left"
    assert [path.name for path in place.iterdir()] == ["old"]


def fetched(source: dict[str, Any], place: Path) -> list[str]:
    fetch("data", source, place)
    assert [path.name for path in place.parent.iterdir()] == ["data"]
    return [path.name for path in visible_files(place)]


def pip(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes] | None, code: int = 0, stderr: str = ""
) -> list[list[str]]:
    """A pip that downloads a wheel of these members, or fails."""
    commands: list[list[str]] = []

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess:
        commands.append(command)
        if members is not None:
            folder = Path(command[command.index("--dest") + 1])
            folder.mkdir()
            with zipfile.ZipFile(folder / "pack_age-1.2-py3-none-any.whl", "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(sources.subprocess, "run", run)
    return commands


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


class Answer(io.BytesIO):
    def __init__(self, content: bytes, url: str) -> None:
        super().__init__(content)
        self.url = url

    def geturl(self) -> str:
        return self.url


def web(monkeypatch: pytest.MonkeyPatch, *answers: Callable[[], Any]) -> list[str]:
    """A network that gives these answers in turn, and no waiting between attempts."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> Any:
        asked.append(url)
        return answers[len(asked) - 1]()

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(sources.time, "sleep", lambda seconds: None)
    return asked


def failing(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def http_error(code: int) -> Callable[[], Any]:
    return failing(urllib.error.HTTPError(URL["url"], code, "no", http.client.HTTPMessage(), None))


def test_a_url_is_fetched_under_its_own_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    web(monkeypatch, lambda: Answer(CONTENT, URL["url"]))
    assert fetched(URL, place) == ["file.bin"]
    assert payload(place).read_bytes() == CONTENT


def test_a_url_is_asked_again_while_the_fault_may_pass(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = web(
        monkeypatch,
        failing(urllib.error.URLError("reset")),
        http_error(503),
        lambda: Answer(CONTENT, URL["url"]),
    )
    assert fetched(URL, place) == ["file.bin"] and len(asked) == 3


@pytest.mark.parametrize(
    ("answers", "message", "attempts"),
    [
        ([http_error(404)], r"could not fetch https://.* \(404\)", 1),
        ([http_error(500)] * 3, r"could not fetch https://.* \(500\)", 3),
        ([failing(urllib.error.URLError("no route"))] * 3, r"\(no route\)", 3),
        ([failing(TimeoutError("slow"))] * 3, r"\(slow\)", 3),
        ([lambda: Answer(CONTENT, "http://example.org/file.bin")], "a place without https", 1),
        ([lambda: Answer(b"<html>login</html>", URL["url"])], f"sha256 is .*, expected {HASH}", 1),
    ],
    ids=["absent", "server", "network", "slow", "redirected to http", "altered"],
)  # fmt: skip
def test_a_url_that_fails_is_one_line(
    answers: list, message: str, attempts: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = web(monkeypatch, *answers)
    refused(URL, place, message)
    assert len(asked) == attempts


def test_a_url_without_https_does_not_pass_the_configuration() -> None:
    config = configuration()
    config["sources"]["facts"]["url"] = "http://example.org/facts.json"
    with pytest.raises(InputError, match=r"sources\.facts\.url"):
        check_configuration(config, SCHEMA)


SHARD = "20231101.en/train-00000-of-00041.parquet"
HUB = {"kind": "hub", "repo": "wiki/pedia", "revision": "c" * 40, "repo_type": "dataset", "files": [SHARD]}


class Hub:
    """A hub of one repository: path -> content; LFS knows the sha256 of `large` files alone."""

    files: dict[str, bytes]
    large: dict[str, str]
    asked: list[tuple]
    error: Exception | None

    def __init__(self, token: str | bool) -> None:
        self.asked.append(("token", token))

    def get_paths_info(self, repo: str, paths: list[str], revision: str, repo_type: str) -> list:
        self.asked.append((repo, revision, repo_type))
        found = []
        for path in paths:
            if path in self.files:
                lfs = SimpleNamespace(sha256=self.large[path]) if path in self.large else None
                found.append(SimpleNamespace(path=path, size=len(self.files[path]), lfs=lfs))
            elif any(file.startswith(path + "/") for file in self.files):
                found.append(SimpleNamespace(path=path))
        return found

    def hf_hub_download(self, repo: str, path: str, local_dir: Path, revision: str, repo_type: str) -> None:
        if self.error:
            raise self.error
        self.asked.append((repo, revision, repo_type, path))
        for place in (local_dir / path, local_dir / ".cache/huggingface/lock"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self.files[path])

    def snapshot_download(self, repo: str, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        if self.error:
            raise self.error
        for path, content in self.files.items():
            if any(PurePosixPath(path).match(pattern) for pattern in allow_patterns):
                (local_dir / path).write_bytes(content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    class Own(Hub):
        files = {SHARD: CONTENT, "20231101.en/other.parquet": b"other"}  # noqa: RUF012
        large = {SHARD: HASH}  # noqa: RUF012
        asked: list[tuple] = []  # noqa: RUF012
        error = None

    monkeypatch.setattr(huggingface_hub, "HfApi", Own)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return Own


def gated() -> Exception:
    error = GatedRepoError.__new__(GatedRepoError)  # its own maker wants a whole answer of the server
    error.args = ("403 Client Error\nmore",)
    return error


def test_only_the_files_named_are_fetched_from_the_hub_at_the_revision(place: Path, hub: type[Hub]) -> None:
    fetch("data", HUB, place)
    assert [path.relative_to(place) for path in visible_tree(place)] == [Path(SHARD)]
    assert payload(place).read_bytes() == CONTENT and not (place / ".cache").exists()
    pinned = ("wiki/pedia", "c" * 40, "dataset")
    assert hub.asked == [("token", False), pinned, (*pinned, SHARD)]


def test_a_file_of_the_hub_has_the_sha256_of_the_configuration_or_of_the_hub(
    place: Path, hub: type[Hub]
) -> None:
    other = sha256(b"other").hexdigest()
    refused(HUB | {"sha256": {SHARD: other}}, place, f"{SHARD}: sha256 is {HASH}, expected {other}")
    hub.large = {SHARD: other}
    refused(HUB, place, f"{SHARD}: sha256 is {HASH}, expected {other}")
    fetch("data", HUB | {"sha256": {SHARD: HASH}}, place)
    hub.large = {}
    with pytest.raises(InputError, match=f"the hub knows no sha256 of {SHARD}"):
        fetch("data", HUB, place)


@pytest.mark.parametrize("name", ["20231101.en/train-00041.parquet", "20231101.en"])
def test_a_file_that_the_hub_lacks_is_told_before_any_download(
    name: str, place: Path, hub: type[Hub]
) -> None:
    refused(HUB | {"files": [SHARD, name]}, place, f"wiki/pedia has no file {name} at that revision")
    assert len(hub.asked) == 2


@pytest.mark.parametrize("files", [{}, {"files": [SHARD]}], ids=["model", "files"])
def test_a_gated_repository_asks_for_the_licence_and_the_token(
    files: dict, place: Path, hub: type[Hub]
) -> None:
    hub.error = gated()
    source = {key: HUB[key] for key in ("kind", "repo", "revision")} | files
    refused(source, place, "wiki/pedia is gated; accept its licence on the hub and set HF_TOKEN")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LocalEntryNotFoundError("no connection\nmore"), "no connection"),
        (HTTPError("name not known"), "name not known"),
        (OSError(), "OSError"),
    ],
)
def test_a_hub_out_of_reach_is_one_line(error: Exception, reason: str, place: Path, hub: type[Hub]) -> None:
    hub.error = error
    refused(HUB, place, rf"could not fetch wiki/pedia \({reason}\)")


def test_the_token_comes_from_the_environment_alone(
    place: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch("data", HUB, place)
    assert hub.asked[0] == ("token", "hf_secret")


def test_of_a_model_on_the_hub_only_weights_and_text_are_taken(place: Path, hub: type[Hub]) -> None:
    hub.files = {"model.safetensors": b"w", "config.json": b"{}", "modeling.py": b"x", "model.bin": b"pickle"}
    source = {key: HUB[key] for key in ("kind", "repo", "revision")}
    assert fetched(source, place) == ["config.json", "model.safetensors"]


def test_a_payload_is_exactly_one_visible_file(tmp_path: Path) -> None:
    (tmp_path / ".snakemake_timestamp").touch()
    with pytest.raises(InputError, match="holds 0 files, expected exactly one"):
        payload(tmp_path)
    (tmp_path / "a").touch()
    assert payload(tmp_path) == tmp_path / "a"
    (tmp_path / "b").touch()
    with pytest.raises(InputError, match="holds 2 files"):
        payload(tmp_path)

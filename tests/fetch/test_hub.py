"""The model hub: files of one revision, of the checksums it lists, asked for as its own library does."""

import json
import logging
from collections.abc import Iterator
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.hf_api import RepoFile
from web_server import Handler, Site, content, redirect, running, silence, status

from reedit.errors import InputError
from reedit.fetch.downloads import Web
from reedit.fetch.sources import fetch
from reedit.storage.files import visible_tree

REVISION = "c" * 40
SHARD = "20231101.en/train-00000-of-00041.parquet"
MODEL = {"kind": "hub", "repo": "some/model", "revision": REVISION}
DATASET = MODEL | {"repo": "wiki/pedia", "repo_type": "dataset", "files": [SHARD]}
LARGE = bytes(range(256)) * 1000  # in large file storage, on another host
FILES = {
    "model.safetensors": LARGE,
    "config.json": b"{}",
    "tokenizer.model": b"pieces",
    "modeling.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    ".gitattributes": b"",
    "onnx/config.json": b"{}",
}


class Hub:
    """A hub of one repository, and the host that it keeps large files on."""

    def __init__(self, site: Site, store: Site, kind: str, repo: str, files: dict[str, bytes]) -> None:
        self.site, self.store, self.files = site, store, files
        owner = "" if kind == "model" else f"{kind}s/"
        self.paths_info = f"/api/{kind}s/{repo}/paths-info/{REVISION}"
        self.tree = f"/api/{kind}s/{repo}/tree/{REVISION}"
        site.says(self.paths_info, self._named)
        site.says(self.tree, lambda to: self._listed(to, [name for name in files if "/" not in name]))
        for name, body in files.items():
            self.resolve = f"/{owner}{repo}/resolve/{REVISION}/"
            stored = store.says(f"/{sha256(body).hexdigest()}", content(body)) + "?Signature=hush"
            site.says(self.resolve + name, redirect(stored) if body == LARGE else content(body))

    def entry(self, name: str) -> dict[str, Any]:
        body = self.files[name]
        blob = sha1(b"blob %d\0" % len(body) + body).hexdigest()
        entry = {"type": "file", "oid": blob, "size": len(body), "path": name}
        large = {"oid": sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
        return entry | ({"lfs": large} if body == LARGE else {})

    def _named(self, to: Handler) -> None:
        self._listed(to, parse_qs(self.site.asked[-1].form.decode())["paths"])

    def _listed(self, to: Handler, names: list[str]) -> None:
        folders = {name.partition("/")[0] for name in self.files if "/" in name}
        found = [self.entry(name) for name in names if name in self.files]
        found += [{"type": "directory", "oid": "0" * 40, "size": 0, "path": name} for name in sorted(folders)]
        content(json.dumps(found).encode(), etag=None)(to)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        yield site


@pytest.fixture
def store() -> Iterator[Site]:
    with running() as store:
        yield store


@pytest.fixture
def dataset(site: Site, store: Site) -> Hub:
    return Hub(site, store, "dataset", "wiki/pedia", {SHARD: LARGE, "20231101.en/list.json": b"[]"})


@pytest.fixture
def model(site: Site, store: Site) -> Hub:
    return Hub(site, store, "model", "some/model", dict(FILES))


def web() -> Web:
    """In a hurry, and on this machine."""
    return Web(timeout=0.3, attempts=2, backoff=0.01, loopback=True)


def fetched(source: dict[str, Any], folder: Path) -> dict[str, bytes]:
    """What a source holds once fetched, by path."""
    fetch("data", source, folder / "data", web())
    assert [path.name for path in folder.iterdir()] == ["data"]
    files = visible_tree(folder / "data")
    return {path.relative_to(folder / "data").as_posix(): path.read_bytes() for path in files}


def refused(source: dict[str, Any], folder: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        fetch("data", source, folder / "data", web())
    assert str(caught.value).startswith("source data: ") and "\n" not in str(caught.value)
    assert not (folder / "data").exists()


def test_only_the_files_named_are_fetched(dataset: Hub, tmp_path: Path) -> None:
    assert fetched(DATASET, tmp_path) == {SHARD: LARGE}
    assert [request.path for request in dataset.site.asked] == [dataset.paths_info, dataset.resolve + SHARD]


def test_of_a_model_only_weights_and_text_at_the_top_are_fetched(model: Hub, tmp_path: Path) -> None:
    names = ["config.json", "model.safetensors", "tokenizer.model"]
    assert fetched(MODEL, tmp_path) == {name: FILES[name] for name in names}


def test_a_list_of_several_pages_is_read_to_its_end(model: Hub, tmp_path: Path) -> None:
    rest = f"{model.tree}/rest"
    first, second = [model.entry("config.json")], [model.entry("model.safetensors")]
    link = f'<{model.site.address}{rest}>; rel="next"'
    model.site.says(model.tree, lambda to: _json(to, first, Link=link))
    model.site.says(rest, lambda to: _json(to, second))
    assert set(fetched(MODEL, tmp_path)) == {"config.json", "model.safetensors"}


def _json(to: Handler, value: Any, **headers: str) -> None:
    body = json.dumps(value).encode()
    to.start(200, {"Content-Length": len(body)} | headers)
    to.wfile.write(body)


def test_a_list_that_goes_on_at_another_host_is_refused(model: Hub, tmp_path: Path) -> None:
    link = f'<{model.store.address}/list>; rel="next"'
    model.site.says(model.tree, lambda to: _json(to, [], Link=link))
    refused(MODEL, tmp_path, "the list of files of some/model goes on at another host")
    assert not model.store.asked


def test_the_library_of_the_hub_asks_the_same(dataset: Hub, model: Hub, tmp_path: Path) -> None:
    """What was written without a hub at hand is held to huggingface_hub: same requests, same reading."""
    fetched(DATASET, tmp_path)
    fetched(MODEL, tmp_path)
    ours = {(request.method, request.path) for request in dataset.site.asked}
    assert parse_qs(dataset.site.asked[0].form.decode()) == {"paths": [SHARD]}
    dataset.site.asked.clear()
    api = HfApi(endpoint=dataset.site.address, token=False)
    (named,) = [
        entry
        for entry in api.get_paths_info("wiki/pedia", [SHARD], revision=REVISION, repo_type="dataset")
        if isinstance(entry, RepoFile)
    ]
    assert named.lfs and named.lfs.sha256 == sha256(LARGE).hexdigest() and named.size == len(LARGE)
    assert parse_qs(dataset.site.asked[0].form.decode())["paths"] == [SHARD]
    listed = {entry.path: entry for entry in api.list_repo_tree("some/model", revision=REVISION)}
    assert listed["config.json"].blob_id == model.entry("config.json")["oid"]
    theirs = {(request.method, request.path) for request in dataset.site.asked}
    for repo, kind, name in [("wiki/pedia", "dataset", SHARD), ("some/model", "model", "config.json")]:
        url = hf_hub_url(repo, name, repo_type=kind, revision=REVISION, endpoint=dataset.site.address)
        theirs.add(("GET", url.removeprefix(dataset.site.address)))
    assert len(theirs) == 4 and theirs <= ours


def test_a_file_has_the_checksum_of_the_configuration_or_else_of_the_hub(
    dataset: Hub, tmp_path: Path
) -> None:
    right, wrong = sha256(LARGE).hexdigest(), sha256(b"other").hexdigest()
    refused(DATASET | {"sha256": {SHARD: wrong}}, tmp_path, f"{SHARD} of wiki/pedia: sha256 is {right}, exp")
    assert fetched(DATASET | {"sha256": {SHARD: right}}, tmp_path)
    dataset.store.says(f"/{right}", content(b"other"))
    (tmp_path / "again").mkdir()
    refused(DATASET, tmp_path / "again", f"{SHARD} of wiki/pedia: sha256 is {wrong}, expected {right}")


def test_a_small_file_has_the_id_that_git_gives_it(model: Hub, tmp_path: Path) -> None:
    model.site.says(f"{model.resolve}config.json", content(b'{"other": 1}'))
    refused(MODEL, tmp_path, r"config\.json of some/model: git blob id is [0-9a-f]{40}, expected ")


@pytest.mark.parametrize("name", ["20231101.en/train-00041.parquet", "20231101.en"])
def test_a_file_that_the_hub_lacks_is_told_before_any_download(
    name: str, dataset: Hub, tmp_path: Path
) -> None:
    source = DATASET | {"files": [SHARD, name]}
    refused(source, tmp_path, f"wiki/pedia has no file {name} at that revision")
    assert len(dataset.site.asked) == 1


def test_a_model_without_safetensors_is_refused_before_any_download(model: Hub, tmp_path: Path) -> None:
    del model.files["model.safetensors"]
    refused(MODEL, tmp_path, r"some/model has no \*\.safetensors at that revision, and no pickle is read")
    assert len(model.site.asked) == 1


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (401, "GatedRepo", "some/model is gated; accept its licence on the hub and set HF_TOKEN in the env"),
        (403, "GatedRepo", "some/model is gated"),
        (
            401,
            "RepoNotFound",
            "the hub has no some/model, or shows it to no one without a token",
        ),
        (404, "RevisionNotFound", f"some/model has no revision {REVISION}"),
        (404, "EntryNotFound", r"\(404 Not Found\)$"),
    ],
)
@pytest.mark.parametrize("at", ["list", "file"])
def test_a_refusal_is_told_in_the_users_terms_and_final(
    code: int, error: str, message: str, at: str, model: Hub, tmp_path: Path
) -> None:
    path = model.tree if at == "list" else f"{model.resolve}config.json"
    model.site.says(path, status(code, X_Error_Code=error))
    refused(MODEL, tmp_path, message)
    assert len(model.site.asked) == (1 if at == "list" else 2)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (status(500), r"the list of files of some/model \(500 Internal Server Error; 2 attempts\)$"),
        (silence, r"the list of files of some/model \(nothing came for 0\.3 s; 2 attempts\)$"),
        (content(b"<html>"), "the list of files of some/model is not readable$"),
        (content(b'{"error": 1}'), "the list of files of some/model is not readable$"),
        (content(b'[{"type": "file", "path": "a"}]'), "the list of files of some/model is not readable$"),
    ],
    ids=["down", "silent", "page", "error", "incomplete"],
)
def test_a_hub_that_does_not_list_is_one_line(answer, message: str, model: Hub, tmp_path: Path) -> None:
    model.site.says(model.tree, answer)
    refused(MODEL, tmp_path, message)


def test_names_that_climb_out_of_the_folder_are_passed_over(model: Hub, tmp_path: Path) -> None:
    names = ["../evil.json", "/tmp/evil.json", "a/../../evil.json", ".hidden.json", "..json", "a\nb.json"]
    entries = [model.entry("config.json") | {"path": name} for name in names]
    entries += [model.entry("model.safetensors")]
    model.site.says(model.tree, lambda to: _json(to, entries))
    (tmp_path / "in").mkdir()
    assert fetched(MODEL, tmp_path / "in") == {"model.safetensors": LARGE}
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_files_that_came_whole_are_not_fetched_again(model: Hub, tmp_path: Path) -> None:
    weights = f"/{sha256(LARGE).hexdigest()}"
    model.store.says(weights, content(LARGE, stop=150_000, ranges=False))
    refused(MODEL, tmp_path, r"could not fetch model\.safetensors of some/model \(the connection ended early")
    model.store.says(weights, content(LARGE))
    model.site.asked.clear()
    assert len(fetched(MODEL, tmp_path)) == 3
    asked = [request.path.rpartition("/")[2] for request in model.site.asked]
    assert asked == [REVISION, "model.safetensors", "tokenizer.model"]
    assert model.store.ranges()[-1] == f"bytes={150_000 // 65536 * 65536}-"


def test_the_token_comes_from_the_environment_and_stays_with_the_hub(
    model: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_unspeakable")
    with caplog.at_level(logging.DEBUG, "reedit"):
        fetched(MODEL, tmp_path)
    assert {request.headers.get("Authorization") for request in model.site.asked} == {"Bearer hf_unspeakable"}
    assert [request.headers.get("Authorization") for request in model.store.asked] == [None]
    assert "some" not in caplog.text and "unspeakable" not in caplog.text and "hush" not in caplog.text


def test_without_a_token_none_is_sent(model: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    fetched(MODEL, tmp_path)
    assert not any("Authorization" in request.headers for request in model.site.asked)


def test_a_hub_without_https_is_refused_outside_of_tests(model: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="leads to a place without https"):
        fetch("data", MODEL, tmp_path / "data")
    assert not model.site.asked and not list(tmp_path.iterdir())


def test_progress_names_the_file_and_its_place(
    dataset: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "reedit"):
        fetched(DATASET, tmp_path)
    assert caplog.messages[0].startswith(f"{SHARD} (1 of 1), MB: 1 of 1 (100 %)")

"""What is fetched is data: nothing of it runs, climbs out of its folder, or carries a secret away."""

import ast
import bz2
import json
import os
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from configurations import REPOSITORY, configuration
from fetching import WHEEL, pip, refused
from safetensors import safe_open
from tiny import save_tiny_model
from web_server import running
from workflow import Experiment, changed, copy_workflow, make_inputs, tiny_config

from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.jobs.redaction import without_secrets
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import prepare_model
from reedit.settings.configuration import check_configuration
from reedit.statistics.corpora import Documents
from reedit.storage.files import payload, visible_tree


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A fetched source that is there already and must survive a failure."""
    (tmp_path / "sources" / "data").mkdir(parents=True)
    (tmp_path / "sources" / "data" / "old").write_text("old")
    return tmp_path / "sources" / "data"


class Bomb:
    """A pickle that tells on whoever reads it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (pytest.fail, ("a pickle was read",))


def test_other_members_of_an_archive_stay_in_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"some content"
    members = {"../../climbed": b"x", "/tmp/climbed": b"x", "pack/data/file.bin": body, "link": b"../old"}
    pip(monkeypatch, members)
    fetch("data", WHEEL, place)
    assert [path.read_bytes() for path in visible_tree(place)] == [body]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sources"]


def test_a_member_that_is_a_link_is_not_followed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a link in an archive holds is the path it points to, and that is not of the sha256 expected."""
    link = zipfile.ZipInfo("pack/data/file.bin")
    link.external_attr = 0o120777 << 16
    pip(monkeypatch, {link: b"/etc/passwd"})
    found = sha256(b"/etc/passwd").hexdigest()
    refused(WHEEL, place, f"file.bin: sha256 is {found}, expected")


@pytest.mark.parametrize("member", ["..", "pack/..", "../../evil", "/etc/passwd", "pack/.hidden", "pack/"])
def test_a_member_outside_of_its_archive_cannot_be_asked_for(member: str) -> None:
    config = configuration()
    config["sources"]["weights"]["member"] = member
    with pytest.raises(InputError, match=r"sources\.weights\.member: .* a path inside the repository or the"):
        check_configuration(config)


def test_links_in_a_folder_become_files_as_those_of_the_hubs_cache(place: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    (blobs / "1").write_bytes(b"weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1")
    (snapshot / "elsewhere").symlink_to(blobs)
    fetch("data", {"kind": "folder", "path": str(snapshot)}, place)
    assert [(path.name, path.is_symlink()) for path in place.iterdir()] == [("model.safetensors", False)]
    assert (place / "model.safetensors").read_bytes() == b"weights"


def test_a_link_to_nowhere_is_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").symlink_to("../gone")
    source = {"kind": "folder", "path": str(tmp_path / "model")}
    refused(source, place, r"model/config\.json: a link to \.\./gone, which is not there")


def test_what_is_no_file_is_no_source(place: Path, tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    refused({"kind": "file", "path": str(tmp_path / "pipe")}, place, "no such file")
    refused({"kind": "file", "path": "/dev/zero"}, place, "no such file: /dev/zero")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A fetched model, whole; its weights can be found under another name, too."""
    save_tiny_model(tmp_path / "fetched")
    return tmp_path / "fetched"


def prepared(model: Path) -> LanguageModel:
    prepare_model(model, model.parent / "model", {})
    return LanguageModel.load(model.parent / "model", device="cpu")


def test_a_pickle_that_is_called_safetensors_is_refused_unread(model: Path) -> None:
    torch.save(Bomb(), model / "model.safetensors")
    with pytest.raises(InputError, match="not a model that loads"):
        prepared(model)


@pytest.mark.parametrize("name", ["weights.txt", "../weights.bin", "missing.safetensors"])
def test_an_index_may_name_nothing_but_safetensors_beside_it(name: str, model: Path) -> None:
    with safe_open(model / "model.safetensors", "pt") as file:
        keys = list(file.keys())
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    index = model / "model.safetensors.index.json"
    for pickled in (model / "weights.txt", model.parent / "weights.bin"):
        torch.save(Bomb(), pickled)
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(keys, name)}))
    with pytest.raises(InputError, match=rf"index\.json: names {name}, expected \*\.safetensors that lie"):
        prepared(model)
    right = dict.fromkeys(keys, "model-00001-of-00001.safetensors")
    index.write_text(json.dumps({"metadata": {}, "weight_map": right}))
    assert prepared(model)


@pytest.mark.parametrize("index", ["[]", "{}", "not JSON", '{"weight_map": {"a": []}}'])
def test_an_index_that_is_none_is_refused(index: str, model: Path) -> None:
    (model / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index\.json: not an index of weights"):
        prepared(model)


def with_code(model: Path, file: str, **changes: Any) -> None:
    """Have a model ask for code of its own, which would tell on whoever runs it."""
    (model / "own.py").write_text("raise SystemExit('code of the model was run')\n")
    settings = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps(settings | changes))


CODE = {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}
ELSEWHERE = {key: f"some/repository--{value}" for key, value in CODE.items()}


@pytest.mark.parametrize("code", [CODE, ELSEWHERE], ids=["its own", "of another repository"])
def test_a_model_that_asks_for_remote_code_is_refused(code: dict[str, str], model: Path) -> None:
    with_code(model, "config.json", auto_map=code, model_type="own")
    with pytest.raises(InputError, match=r"\(it asks for code of its own to be run\)$"):
        prepared(model)


def test_a_tokenizer_that_asks_for_remote_code_is_refused(model: Path) -> None:
    code = {"AutoTokenizer": ["own.Tokenizer", "own.Tokenizer"]}
    with_code(model, "tokenizer_config.json", auto_map=code, tokenizer_class="OwnTokenizer")
    with pytest.raises(InputError, match=r"\(it asks for code of its own to be run\)$"):
        prepared(model)


def test_a_known_architecture_is_loaded_without_the_code_it_offers(model: Path) -> None:
    with_code(model, "config.json", auto_map=CODE)
    assert type(prepared(model).model).__name__ == "LlamaForCausalLM"
    assert not (model.parent / "model/own.py").exists()


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json"])
def test_a_damaged_model_is_one_line(file: str, model: Path) -> None:
    (model / file).write_bytes(b"\x00\xff{")
    with pytest.raises(InputError, match="fetched: not a model that loads") as caught:
        prepared(model)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"GGUF\x03\0\0\0" + b"\xff" * 64, b"PK\x03\x04" * 20])
def test_a_damaged_gguf_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched/model.gguf").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.gguf: not a model that reads") as caught:
        prepare_model(tmp_path / "fetched", tmp_path / "model", {})
    assert "\n" not in str(caught.value) and [p.name for p in tmp_path.iterdir()] == ["fetched"]


def test_entities_that_grow_without_end_are_cut_off(tmp_path: Path) -> None:
    entities = '<!ENTITY a0 "lol">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    (tmp_path / "dump").write_bytes(bz2.compress(f"<!DOCTYPE x [{entities}]><x>&a11;</x>".encode()))
    with pytest.raises(InputError, match="not readable as wikipedia-dump"):
        list(Documents(tmp_path / "dump", "wikipedia-dump", 1, 10))


FORBIDDEN_CALLS = {"eval", "exec", "extract", "extractall", "unpack_archive", "load_module", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "tarfile", "cloudpickle"}


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "scripts").rglob("*.py")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_no_code_unpickles_unpacks_or_trusts(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None) or ""}
            assert not {name.partition(".")[0] for name in names} & FORBIDDEN_MODULES
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        # a method without arguments is another thing: model.eval()
        assert called.rpartition(".")[2] not in FORBIDDEN_CALLS or not node.args, called
        assert called not in ("torch.load", "yaml.load", "os.system"), called
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        assert given.get("trust_remote_code", "False") == "False", called
        assert given.get("allow_pickle", "False") == "False", called
        assert given.get("shell", "False") == "False" and given.get("verify", "True") == "True", called
        if called.rpartition(".")[2] == "from_pretrained":
            assert "trust_remote_code" in given, called


def merged(*files: str) -> dict[str, Any]:
    """Definitions of the sources of several configuration files."""
    found: dict[str, Any] = {}
    for file in files:
        found |= yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8")).get("sources", {})
    return found


EXPERIMENTS = sorted(path.name for path in (REPOSITORY / "experiments").glob("*.yaml"))


@pytest.mark.parametrize("experiment", [None, *EXPERIMENTS])
def test_all_that_a_shipped_experiment_fetches_is_pinned(experiment: str | None) -> None:
    sources = merged("config.yaml", *([f"experiments/{experiment}"] if experiment else []))
    assert sources
    for name, source in sources.items():
        if source["kind"] in ("file", "folder"):
            path = (REPOSITORY / source["path"]).resolve()
            assert path.is_relative_to(REPOSITORY / "resources"), f"{name} is not shipped"
        elif source["kind"] == "hub":
            assert len(source["revision"]) == 40 and int(source["revision"], 16), name
        else:
            assert len(source["sha256"]) == 64 and int(source["sha256"], 16), name
            assert source.get("url", "https://").startswith("https://"), name


@pytest.mark.parametrize(
    ("kind", "missing"), [("url", "sha256"), ("wheel", "sha256"), ("wheel", "version"), ("hub", "revision")]
)
def test_a_source_that_is_not_pinned_does_not_pass_the_configuration(kind: str, missing: str) -> None:
    config = configuration()
    hub = {"kind": "hub", "repo": "some/model", "revision": "c" * 40}
    config["sources"]["more"] = {
        "url": dict(config["sources"]["facts"]),
        "wheel": dict(config["sources"]["weights"]),
        "hub": hub,
    }[kind]
    check_configuration(config)
    del config["sources"]["more"][missing]
    with pytest.raises(InputError, match=rf"sources\.more\.{missing}: missing"):
        check_configuration(config)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/facts.json",
        "https://me:hush@example.org/facts.json",
        "https://hush@example.org/facts.json",
        "https://example.org/facts.json?token=hush",
        "https://example.org/facts.json?a=1&X-Amz-Signature=hush",
        "https://example.org/facts.json?api_key=hush",
        "https://example.org/facts.json?key=hush",
        "https://example.org/..",
        "https://example.org/.hidden",
        "https://example.org/",
        "https://example.org",
        "https://example.org/facts.json#part",
        "file:///etc/passwd",
    ],
)
def test_an_address_with_a_secret_or_without_https_or_a_name_is_refused_unrepeated(url: str) -> None:
    config = configuration()
    config["sources"]["facts"]["url"] = url
    with pytest.raises(InputError, match=r"^config: sources\.facts\.url: ") as caught:
        check_configuration(config)
    assert "hush" not in str(caught.value)


def test_an_ordinary_query_passes() -> None:
    config = configuration()
    config["sources"]["facts"]["url"] = (
        "https://example.org/a/facts.json?download=1&author=x&design=y&monkey=z"
    )
    check_configuration(config)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("GET https://me:pass@host/a failed", "GET https://***@host/a failed"),
        ("for url: https://cdn/a/b?X-Amz-Signature=abc&e=1 (x)", "for url: https://cdn/a/b?*** (x)"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("token hf_AbCdEfGhIjKl refused", "token *** refused"),
        ("hidden-in-the-environment", "***"),
        ("case 3 (https://host/a): a?b@c", "case 3 (https://host/a): a?b@c"),
    ],
)
def test_secrets_become_stars(text: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hidden-in-the-environment")
    assert without_secrets(text) == told


def test_the_token_stays_out_of_all_that_a_run_writes(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also, a hub that is named in the environment is not asked for anything without https."""
    monkeypatch.setenv("HF_TOKEN", "hf_unspeakable")
    with running() as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        house, inputs = copy_workflow(tmp_path / "house"), make_inputs(tmp_path / "inputs", model)
        hub = {"kind": "hub", "repo": "some/model", "revision": "c" * 40}
        experiment = Experiment(tmp_path / "run", house, changed(tiny_config(inputs), sources__far=hub))
        outcome = experiment.run("results/sources/far", "results/sources/tiny-facts")
        assert not site.asked
    line = "source far: could not fetch the list of files of some/model (it leads to a place without https)"
    assert outcome.errors == [line] and payload(experiment.path("sources/tiny-facts"))
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert (experiment.folder / ".snakemake/metadata").is_dir()
    assert not any(b"unspeakable" in content for content in [*written, outcome.output.encode()])


@pytest.mark.parametrize("told", ["https://me:hush@index/simple/ failed", "https://index/?token=hush failed"])
def test_what_pip_says_of_its_index_is_told_without_secrets(
    told: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip(monkeypatch, None, 1, f"ERROR: {told}")
    refused(WHEEL, place, r"pip could not fetch pack-age==1\.2 \(ERROR: https://(?!.*hush)")

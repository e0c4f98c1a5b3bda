"""From a fetched model to the folder that every job loads."""

import json
from pathlib import Path

import pytest
import torch
from tiny import save_tiny_model, tiny_network

from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import REVISION, model_revision, prepare_model
from reedit.storage.checksums import folder_sha256


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    save_tiny_model(tmp_path / "fetched")
    return tmp_path / "fetched"


def test_a_folder_of_safetensors_becomes_a_model_that_loads(fetched: Path, tmp_path: Path) -> None:
    revision = prepare_model(fetched, tmp_path / "model", {"kind": "folder", "path": "x"})
    assert revision == f"sha256:{folder_sha256(fetched)}" == model_revision(tmp_path / "model")
    loaded = LanguageModel.load(tmp_path / "model", device="cpu")
    ids = torch.tensor([[3, 50, 7]])
    assert torch.equal(loaded.model(ids).logits, tiny_network().eval()(ids).logits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched", "model"]


def test_a_hub_models_revision_is_its_commit(fetched: Path, tmp_path: Path) -> None:
    source = {"kind": "hub", "repo": "a/b", "revision": "c" * 40}
    assert prepare_model(fetched, tmp_path / "model", source) == "c" * 40
    assert json.loads((tmp_path / "model" / REVISION).read_text())["source"] == source


def test_code_and_pickles_stay_behind(fetched: Path, tmp_path: Path) -> None:
    (fetched / "modeling.py").write_text("raise SystemExit")
    torch.save({}, fetched / "pytorch_model.bin")
    prepare_model(fetched, tmp_path / "model", {})
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"modeling.py", "pytorch_model.bin"}.isdisjoint(names)


def test_a_pickle_alone_is_refused_and_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "fetched").mkdir()
    torch.save({}, tmp_path / "fetched" / "pytorch_model.bin")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    with pytest.raises(InputError, match=r"no \*\.safetensors and no \*\.gguf"):
        prepare_model(tmp_path / "fetched", tmp_path / "model", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched", "model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]


def test_a_prepared_folder_can_be_a_source_and_is_not_written_to(fetched: Path, tmp_path: Path) -> None:
    """Files are hard links all the way: writing into one would change the user's own."""
    prepare_model(fetched, tmp_path / "own", {"kind": "hub", "revision": "c" * 40})
    before = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    source = {"kind": "folder", "path": str(tmp_path / "own")}
    fetch("own", source, tmp_path / "again")
    prepare_model(tmp_path / "again", tmp_path / "model", source)
    assert {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()} == before
    assert model_revision(tmp_path / "model") == f"sha256:{folder_sha256(tmp_path / 'again')}"
    assert json.loads((tmp_path / "model" / REVISION).read_text())["source"] == source

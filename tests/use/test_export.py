"""An exported model is an ordinary folder, and the very model that was evaluated."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_models import LAYERS, RUN, make_run
from tiers import long_but
from tiny import ALL_ARCHITECTURES
from transformers import AutoModelForCausalLM, AutoTokenizer

from reedit.edit.kept_weights import KeptStates, State
from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import model_revision
from reedit.use.export import CARD, export_model
from reedit.use.run_folder import RunFolder

IDS = torch.tensor([[3, 50, 7, 90, 12]])
DTYPES = ["float32", "bfloat16", "float16"]


def exported(folder: Path, k: int = 2, architecture: str = "llama", dtype: str = "float32") -> Path:
    run = RunFolder(make_run(folder, architecture, dtype))
    export_model(run.load(run.base, k, device="cpu"), run.base, run.path / "model", run.description(k))
    return run.path / "model"


def evaluated(folder: Path, k: int, dtype: str) -> torch.Tensor:
    """The logits of the model that score_edits has before it at k."""
    run = folder / "edits" / RUN
    model = LanguageModel.load(folder / "models/tiny", dtype, "cpu")
    for state in KeptStates(model, run / "weights", LAYERS):
        if state == State(k):
            return model.model(IDS).logits
    raise AssertionError(k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "architecture", long_but(ALL_ARCHITECTURES, {"llama", "gpt2", "gemma3_text"}.__contains__)
)
@torch.no_grad()
def test_the_folder_has_the_logits_of_the_model_that_was_evaluated(
    architecture: str, dtype: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path, 2, architecture, dtype)
    loaded = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    assert loaded.dtype == getattr(torch, dtype)
    assert torch.equal(loaded(IDS).logits, evaluated(tmp_path, 2, dtype))
    assert not torch.equal(loaded(IDS).logits, evaluated(tmp_path, 3, dtype))


LOADING = """
import importlib.util, json, pathlib, sys
# as if not installed, which it is in .venv
sys.path = [folder for folder in sys.path if not pathlib.Path(folder, "reedit").exists()]
assert importlib.util.find_spec("reedit") is None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(1)  # as the tests have it: sums over threads round otherwise
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager")
ids = tokenizer("Kyoto is a city", return_tensors="pt").input_ids
with torch.no_grad():
    print(json.dumps({"ids": ids.tolist(), "logits": model(ids).logits.tolist()}))
"""


def test_a_python_that_knows_nothing_of_this_project_loads_the_folder(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", LOADING, str(folder)]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    run = RunFolder(tmp_path / "edits" / RUN)
    model = run.load(run.base, 2, device="cpu")
    assert (
        found["ids"]
        == AutoTokenizer.from_pretrained(run.base)("Kyoto is a city", return_tensors="pt")[
            "input_ids"
        ].tolist()
    )
    with torch.no_grad():
        logits = model.model(torch.tensor(found["ids"])).logits
    assert torch.equal(torch.tensor(found["logits"]), logits)


def test_the_folder_says_what_it_is_and_holds_no_pickle(tmp_path: Path) -> None:
    folder = exported(tmp_path)
    card = (folder / CARD).read_text()
    for told in (
        "false on purpose",
        "tiny, sha256:1234",
        "facts: 4 edited",
        "memit (memit, protocol correct",
    ):
        assert told in card
    assert "| k = 2 |" in card and "{" not in card
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "revision.json", CARD} <= names
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".safetensors", ".md", ".jinja"}
    assert {oct(path.stat().st_mode & 0o777) for path in folder.iterdir()} == {"0o644"}
    mark = json.loads((folder / "revision.json").read_text())
    assert (mark["model"], mark["base_revision"], mark["edited"]["k"]) == ("tiny", "sha256:1234", 2)
    assert mark["source"]["repo"] == "a/b"


def test_two_iterations_have_two_revisions_and_the_same_one_has_the_same(tmp_path: Path) -> None:
    found = [model_revision(exported(tmp_path / str(i), k)) for i, k in enumerate((1, 2, 2))]
    assert found[0] != found[1] == found[2]


def test_the_base_model_is_not_written_to(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path))
    before = {path: path.read_bytes() for path in run.base.iterdir()}
    export_model(run.load(run.base, 1, device="cpu"), run.base, run.path / "model", run.description(1))
    assert {path: path.read_bytes() for path in run.base.iterdir()} == before


def test_a_config_for_generating_that_is_odd_is_carried_over_as_it_is(tmp_path: Path) -> None:
    """Llama-2's, as published, names a temperature without sampling."""
    run = RunFolder(make_run(tmp_path))
    odd = '{"temperature": 0.9, "top_p": 0.6, "max_length": 4096}'
    (run.base / "generation_config.json").write_text(odd)
    export_model(run.load(run.base, 1, device="cpu"), run.base, run.path / "model", run.description(1))
    assert (run.path / "model/generation_config.json").read_text() == odd


def test_a_full_disk_is_told_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = RunFolder(folder.parent)
    model = run.load(run.base, 3, device="cpu")

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError) as caught:
        export_model(model, run.base, folder, run.description(3))
    assert caught.value.filename == str(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in folder.parent.iterdir()) == ["iterations.parquet", "model", "weights"]


def test_an_export_that_is_interrupted_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(make_run(tmp_path))
    model = run.load(run.base, 1, device="cpu")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reedit.use.export.folder_sha256", interrupted)  # the weights are written by then
    with pytest.raises(KeyboardInterrupt):
        export_model(model, run.base, run.path / "model", run.description(1))
    assert sorted(path.name for path in run.path.iterdir()) == ["iterations.parquet", "weights"]


@pytest.mark.parametrize(("wanted", "k"), [("selected", 2), ("last", 3), (1, 1)])
def test_the_iteration_is_the_one_asked_for(wanted: str | int, k: int, tmp_path: Path) -> None:
    assert RunFolder(make_run(tmp_path)).chosen(wanted) == k


def test_an_iteration_without_weights_is_refused_with_those_that_have_them(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "weights/k2.safetensors").unlink()
    for wanted in ("selected", 2):
        with pytest.raises(InputError, match=rf"k = 2 \({wanted}\) has no weights; kept are k = 1, 3"):
            RunFolder(run).chosen(wanted)
    assert RunFolder(run).chosen("last") == 3
    for left in (run / "weights").iterdir():
        left.unlink()
    with pytest.raises(InputError, match=r"k = 0 \(last\) has no weights; kept are k = none"):
        RunFolder(run).chosen("last")


def test_another_base_model_is_refused(tmp_path: Path) -> None:
    run = RunFolder(make_run(tmp_path))
    (run.base / "revision.json").write_text('{"revision": "sha256:9"}')
    with pytest.raises(InputError, match=r"models/tiny: is sha256:9, but .* edited sha256:1234"):
        run.load(run.base, 1)

"""Exported and prepared folders as transformers 4 reads them: both releases' words, the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_models import CONFIG, set_json
from made_models import make_run
from tiny import ALL_ARCHITECTURES, save_tiny_model
from transformers import AutoConfig

from reedit.models.older import state_for_older, with_older_settings, with_older_tokenizer
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.preparation import prepare_model
from reedit.use.export import export_model
from reedit.use.run_folder import RunFolder

# Python of an environment with an older transformers, several by ":"; make test-older names one
OLD = [python for python in os.environ.get("OLD_TRANSFORMERS", "").split(":") if python]
UNKNOWN = "does not recognize this architecture"
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA_3 |= {"original_max_position_embeddings": 64}

READING = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, __version__
torch.set_num_threads(1)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager").eval()
said = {"version": __version__, "dtype": str(model.dtype), "ids": [], "ppl": []}
said["chat"] = tokenizer.chat_template
for text in ("Kyoto is a city in the country of", " Rome plays the violin." * 12, "Mr. O'Neill's 12,345"):
    ids = tokenizer(text, return_tensors="pt").input_ids
    with torch.no_grad():
        said["ppl"].append(float(model(ids, labels=ids).loss.exp()))
    said["ids"].append(ids[0].tolist())
print(json.dumps(said))
"""


def read_by(python: str, folder: Path) -> dict[str, Any] | None:
    """What an interpreter's transformers makes of a folder; None where it does not know the architecture."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-c", READING, str(folder)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if UNKNOWN in told.stderr:
        return None
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def exported(folder: Path, architecture: str, **changes: Any) -> Path:
    run = RunFolder(make_run(folder, architecture))
    set_json(run.base, CONFIG, **changes)
    (run.base / "chat_template.jinja").write_text("{{ messages }}")
    export_model(run.load(run.base, 2, device="cpu"), run.base, run.path / "model", run.description(2))
    return run.path / "model"


@pytest.mark.skipif(not OLD, reason="needs transformers 4: make test-older has an environment with it")
@pytest.mark.parametrize("python", OLD or [""])
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        *((each, {}) for each in ALL_ARCHITECTURES),
        ("llama_untied", {"rope_parameters": LLAMA_3 | {"rope_theta": 500000.0}}),
        ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 70.0}}),
    ],
)
def test_an_older_release_has_the_same_perplexities(
    architecture: str, changes: dict, python: str, tmp_path: Path
) -> None:
    folder = exported(tmp_path, architecture, **changes)
    new, old = read_by(sys.executable, folder), read_by(python, folder)
    if old is None:
        pytest.skip(f"{python}: does not know {architecture} yet")
    assert old["version"].startswith("4.") and new["version"].startswith("5.")
    assert old["ids"] == new["ids"] and old["dtype"] == new["dtype"]
    assert old["ppl"] == pytest.approx(new["ppl"], rel=1e-5)
    assert old["chat"] == new["chat"] == "{{ messages }}"


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
def test_what_is_said_for_older_releases_changes_nothing_here(architecture: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path, architecture=architecture)
    before, ids = AutoConfig.from_pretrained(tmp_path).to_dict(), load_tokenizer(tmp_path)(" Kyoto <s>")
    state_for_older(tmp_path)
    after = AutoConfig.from_pretrained(tmp_path).to_dict()
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() <= {"sliding_window_pattern", "partial_rotary_factor"}
    assert load_tokenizer(tmp_path)(" Kyoto <s>") == ids
    written = (tmp_path / CONFIG).read_bytes()
    state_for_older(tmp_path)
    assert (tmp_path / CONFIG).read_bytes() == written


@pytest.mark.parametrize(
    ("settings", "older"),
    [
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 7.0}}, {"rope_theta": 7.0}),
        (
            {"rope_parameters": LLAMA_3 | {"rope_theta": 7.0}},
            {"rope_theta": 7.0, "rope_scaling": LLAMA_3},
        ),
        (
            {
                "model_type": "gpt_neox",
                "rope_parameters": {"rope_theta": 7.0, "partial_rotary_factor": 0.5, "rope_type": "default"},
            },
            {"rotary_emb_base": 7.0, "rotary_pct": 0.5},
        ),
        (
            {
                "model_type": "phi3",
                "rope_parameters": {
                    **{"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
                    **{"rope_theta": 7.0, "partial_rotary_factor": 1.0},
                },
            },
            {
                "rope_theta": 7.0,
                "partial_rotary_factor": 1.0,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
            },
        ),
        (
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 7.0},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 3.0},
                },
                "layer_types": [*["sliding_attention"] * 2, "full_attention", "sliding_attention"],
            },
            {
                **{"rope_theta": 7.0, "rope_local_base_freq": 3.0, "sliding_window_pattern": 3},
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            },
        ),
        ({"layer_types": ["full_attention", "sliding_attention"]}, {}),
        ({"dtype": "bfloat16"}, {"torch_dtype": "bfloat16"}),
        ({"rope_theta": 5.0, "torch_dtype": "float16"}, {}),  # as 4.x wrote it
        ({"rope_parameters": None, "dtype": None}, {}),
    ],
)
def test_each_setting_is_said_in_both_words(settings: dict, older: dict) -> None:
    assert with_older_settings(settings) == settings | older


def test_a_tokenizers_names_are_those_of_both() -> None:
    new = {"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"], "backend": "tokenizers"}
    said = with_older_tokenizer(new, "{{ x }}")
    assert said["tokenizer_class"] == "PreTrainedTokenizerFast" and said["chat_template"] == "{{ x }}"
    assert said["additional_special_tokens"] == ["<a>"] and "extra_special_tokens" not in said
    kept = {"extra_special_tokens": {"image_token": "<a>"}, "chat_template": "own"}
    assert with_older_tokenizer(kept, "other") == kept | {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
    }


def test_a_prepared_folder_says_both_and_the_users_own_stays(tmp_path: Path) -> None:
    """Its files are hard links to the user's."""
    save_tiny_model(tmp_path / "own")
    before = {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()}
    prepare_model(tmp_path / "own", tmp_path / "model", {})
    said = json.loads((tmp_path / "model" / CONFIG).read_text())
    assert (said["rope_theta"], said["torch_dtype"]) == (10000.0, "float32")
    named = json.loads((tmp_path / "model/tokenizer_config.json").read_text())["tokenizer_class"]
    assert named == "PreTrainedTokenizerFast"
    assert {path.name: path.read_bytes() for path in (tmp_path / "own").iterdir()} == before
    one, other = ((tmp_path / place / "model.safetensors").stat().st_ino for place in ("own", "model"))
    assert one == other


def test_an_export_has_one_dtype_whatever_it_is_called(tmp_path: Path) -> None:
    said = json.loads((exported(tmp_path, "llama") / CONFIG).read_text())
    assert said["dtype"] == said["torch_dtype"] == str(torch.float32).removeprefix("torch.")

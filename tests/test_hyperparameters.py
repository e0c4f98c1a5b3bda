"""Hyperparameters from the configuration or from EasyEdit's own files."""

from pathlib import Path
from typing import Any

import pytest

from reedit.errors import InputError
from reedit.hyperparameters import read_hyperparameters

GOOD: dict[str, Any] = {
    "layers": [4, 5],
    "v_lr": 0.5,
    "v_num_grad_steps": 25,
    "clamp_norm_factor": 4,
    "v_weight_decay": 0.001,
    "kl_factor": 0.0625,
    "mom2_update_weight": 400,
}
EASYEDIT = """
alg_name: "MEMIT"
model_name: "./hugging_cache/llama-2-7b"
stats_dir: "./data/stats"
device: 1
layers: [4, 5, 6, 7, 8]
clamp_norm_factor: 4
layer_selection: "all"
fact_token: "subject_last"
v_num_grad_steps: 25
v_lr: 5e-1
v_loss_layer: 31
v_weight_decay: 1e-3
kl_factor: 0.0625
mom2_adjustment: true
mom2_update_weight: 15000
rewrite_module_tmp: "model.layers.{}.mlp.down_proj"
layer_module_tmp: "model.layers.{}"
mlp_module_tmp: "model.layers.{}.mlp"
attn_module_tmp: "model.layers.{}.self_attn"
ln_f_module: "model.norm"
lm_head_module: "lm_head"
mom2_dataset: "wikipedia"
mom2_n_samples: 100000
mom2_dtype: "float32"
model_parallel: true
"""


def test_a_mapping_comes_back_with_what_the_engine_reads() -> None:
    given = GOOD | {"v_loss_layer": 29, "model_name": "x", "fact_token": "subject_last"}
    assert read_hyperparameters(given, "memit", "here") == GOOD | {"fact_token": "subject_last"}


def test_an_easyedit_file_is_read_with_its_numbers_in_scientific_notation(tmp_path: Path) -> None:
    """YAML takes 5e-1, as the published files write it, for text."""
    (tmp_path / "llama.yaml").write_text(EASYEDIT)
    found = read_hyperparameters(tmp_path / "llama.yaml", "memit", "here")
    assert found["v_lr"] == 0.5 and found["v_weight_decay"] == 0.001
    assert found["layers"] == [4, 5, 6, 7, 8] and found["mom2_update_weight"] == 15000
    assert "model_name" not in found


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_key_is_named(key: str) -> None:
    given = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(InputError, match=rf"^here: lacks \['{key}'\], required for memit"):
        read_hyperparameters(given, "memit", "here")


def test_rome_needs_no_weight_of_the_moments_and_pmet_does() -> None:
    given = {k: v for k, v in GOOD.items() if k != "mom2_update_weight"} | {"layers": [5]}
    assert read_hyperparameters(given, "rome", "here") == given
    with pytest.raises(InputError, match="mom2_update_weight"):
        read_hyperparameters(given, "pmet", "here")


def test_rome_edits_one_layer() -> None:
    with pytest.raises(InputError, match=r"here: layers: found \[4, 5\], expected the one layer that ROME"):
        read_hyperparameters(GOOD | {"layers": [4, 5]}, "rome", "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_length": 0}, "step_length: found 0, expected more than 0"),
        ({"v_learning_rate": 1}, r"unknown keys \['v_learning_rate'\]; known: layers, v_lr"),
        ({"v_lr": "half"}, "v_lr: found 'half', expected a number"),
        ({"v_lr": True}, "v_lr: found True, expected a number"),
        ({"v_lr": None}, "v_lr: found None, expected a number"),
        ({"v_num_grad_steps": 2.5}, "v_num_grad_steps: found 2.5, expected an integer"),
        ({"v_num_grad_steps": 0}, "v_num_grad_steps: found 0, expected at least 1"),
        ({"layers": 5}, "layers: found 5, expected a list"),
        ({"layers": []}, r"layers: found \[\], expected a non-empty list"),
        ({"layers": [1, "2"]}, "layers: .*expected a non-empty list of layer numbers"),
        ({"layers": [True]}, "layers: .*expected a non-empty list of layer numbers"),
        ({"mom2_adjustment": 1}, "mom2_adjustment: found 1, expected bool"),
        ({"fact_token": "last"}, "fact_token: found 'last', expected subject_last"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^here: {message}") as caught:
        read_hyperparameters(GOOD | change, "memit", "here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "\t:"])
def test_a_file_that_is_no_mapping_is_named_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(content)
    with pytest.raises(InputError, match=r"h\.yaml: ") as caught:
        read_hyperparameters(tmp_path / "h.yaml", "memit", "here")
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        read_hyperparameters(tmp_path / "nowhere.yaml", "memit", "here")

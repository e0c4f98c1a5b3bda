"""Hyperparameters from the configuration or from EasyEdit's own files."""

import json
from pathlib import Path
from typing import Any

import pytest
from easyedit_files import GOOD, MODULES, easyedit_file

from reedit.errors import InputError
from reedit.methods.hyperparameters import (
    OfTargets,
    as_mapping,
    check_for_model,
    kinds,
    read_hyperparameters,
)
from reedit.methods.spelling import spelling


def read(*given: Any) -> dict[str, Any]:
    return as_mapping(read_hyperparameters(*given))


def test_a_mapping_comes_back_with_what_the_engine_reads() -> None:
    given = GOOD | {"v_loss_layer": 29, "model_name": "x", "fact_token": "subject_last"}
    assert read(given, "memit", "here") == GOOD | {"v_loss_layer": 29}


@pytest.mark.parametrize("model", MODULES)
@pytest.mark.parametrize(
    "algorithm", ["ROME", "MEMIT", "PMET", "ROME_RECURSIVE", "MEMIT_RECURSIVE_NEIGHBOR", "PMET_RECURSIVE"]
)
def test_easyedits_own_files_are_read_unchanged(algorithm: str, model: str, tmp_path: Path) -> None:
    """Numbers in scientific notation too: YAML takes 5e-1, as the published files write it, for text."""
    (tmp_path / "h.yaml").write_text(easyedit_file(algorithm, model))
    name = algorithm.partition("_")[0].lower()
    found = read(tmp_path / "h.yaml", name, "here")
    last, layer, rewrite, *_ = MODULES[model].split()
    assert (found["v_lr"], found["v_weight_decay"], found["v_loss_layer"]) == (0.5, 0.001, int(last))
    assert found["layers"] == ([5] if name == "rome" else [4, 5, 6, 7, 8])
    assert found.get("mom2_update_weight") == (None if name == "rome" else 15000)
    assert "model_name" not in found and "fact_token" not in found
    check_for_model(found, int(last) + 1, f"{layer}.{rewrite}")


def test_a_file_is_for_one_model_and_one_algorithm(tmp_path: Path) -> None:
    """What a file says of the model or algorithm is never ignored where it is not so."""
    (tmp_path / "h.yaml").write_text(easyedit_file("MEMIT", "gpt2-xl"))
    with pytest.raises(InputError, match=r"h\.yaml: alg_name: found 'MEMIT', expected PMET$"):
        read_hyperparameters(tmp_path / "h.yaml", "pmet", "here")
    found = read(tmp_path / "h.yaml", "memit", "here")
    with pytest.raises(InputError, match=r"v_loss_layer: found 47, expected 31 for this model$"):
        check_for_model(found, 32, "model.layers.{}.mlp.down_proj")
    with pytest.raises(InputError, match=r"rewrite_module_tmp: found 'transformer\.h\..*, expected 'model"):
        check_for_model(found, 48, "model.layers.{}.mlp.down_proj")
    both = '["transformer.h.{}.mlp.c_proj", "transformer.h.{}.attn.c_proj"]'
    (tmp_path / "p.yaml").write_text(easyedit_file("PMET", "gpt2-xl", rewrite_module_tmps=both))
    found = read(tmp_path / "p.yaml", "pmet", "here")
    with pytest.raises(InputError, match=r"rewrite_module_tmps: found .*attn.*, expected \['transformer"):
        check_for_model(found, 48, "transformer.h.{}.mlp.c_proj")


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_key_is_named(key: str) -> None:
    given = {k: v for k, v in GOOD.items() if k != key}
    with pytest.raises(InputError, match=rf"^here: lacks \['{key}'\], required for memit"):
        read_hyperparameters(given, "memit", "here")


def test_rome_needs_no_weight_of_the_moments_and_pmet_does() -> None:
    given = {k: v for k, v in GOOD.items() if k != "mom2_update_weight"} | {"layers": [5]}
    assert read(given, "rome", "here") == given
    with pytest.raises(InputError, match="mom2_update_weight"):
        read_hyperparameters(given, "pmet", "here")


@pytest.mark.parametrize(
    ("algorithm", "lacking"),
    [
        ("blue", ["mom2_update_weight"]),
        ("encore", ["mom2_update_weight", "update_norm_lambda"]),
        ("alphaedit", ["L2", "nullspace_threshold"]),
    ],
)
def test_further_algorithms_say_what_they_need(algorithm: str, lacking: list[str]) -> None:
    given = {k: v for k, v in GOOD.items() if k != "mom2_update_weight"}
    with pytest.raises(InputError) as caught:
        read_hyperparameters(given, algorithm, "here")
    assert str(caught.value) == f"here: lacks {lacking}, required for {algorithm}"
    full = given | dict.fromkeys(lacking, 0.5)
    assert read(full, algorithm, "here") == full


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("AlphaEdit", "alphaedit"), ("EMMET", "emmet"), ("R-ROME", "r_rome"), ("MEMIT-FE", "memit_fe")],
)
def test_a_file_of_easyedit_says_the_algorithm_in_its_own_way(name: str, algorithm: str) -> None:
    with pytest.raises(InputError, match="alg_name"):
        read_hyperparameters(GOOD | {"alg_name": name}, "memit", "here")
    assert spelling(algorithm).files == name  # so are the files written that tuning makes
    given = GOOD | {"alg_name": name, "layers": [4], "nullspace_threshold": 0.02, "L2": 10}
    assert read(given, algorithm, "here")["layers"] == [4]
    with pytest.raises(InputError, match="alg_name"):
        read_hyperparameters(given, "rome", "here")


NEURONS = GOOD | {"alpha": 2.5, "upper_bound": 50, "max_iterations": 3, "neuron_threshold": 0.8}
SPACES = GOOD | {"L2": 10, "nullspace_threshold": 0.02, "lambda1": 3000, "tau": 1000}


@pytest.mark.parametrize(
    ("algorithm", "given", "expected"),
    [
        ("nse", NEURONS | {"alpha": 50}, "alpha: found 50, expected less than upper_bound, 50"),
        ("nse", NEURONS | {"neuron_threshold": 5}, "neuron_threshold: found 5, expected at most 1"),
        ("nse", NEURONS | {"max_iterations": 1}, "max_iterations: found 1, expected at least 2"),
        ("betaedit", SPACES | {"tau": 0}, "tau: found 0, expected at least 1"),
        ("memit", GOOD | {"neuron_threshold": 0.8}, r"unknown keys \['neuron_threshold'\]"),
        ("alphaedit", SPACES, r"unknown keys \['lambda1', 'tau'\]"),
        ("betaedit", SPACES | {"alpha": 1}, r"unknown keys \['alpha'\]"),
    ],
)
def test_what_one_algorithm_alone_reads_is_no_other_s(
    algorithm: str, given: dict[str, Any], expected: str
) -> None:
    assert read(NEURONS, "nse", "here")["neuron_threshold"] == 0.8
    assert read(SPACES, "betaedit", "here")["tau"] == 1000
    with pytest.raises(InputError, match=f"^here: {expected}"):
        read(given, algorithm, "here")


FT = {"alg_name": "FT", "layers": [21], "num_steps": 25, "batch_size": 1, "lr": 5e-4, "weight_decay": 0}
FT |= {"kl_factor": 0, "norm_constraint": False, "objective_optimization": "target_new", "max_length": 40}
FT |= {"rewrite_module_tmp": "model.layers.{}.mlp.down_proj.weight"}


def test_a_file_of_easyedits_fine_tuning_is_read() -> None:
    found = read(FT, "ft_m", "here")
    told = ("layers", "num_steps", "batch_size", "lr", "weight_decay", "rewrite_module_tmp")
    assert found == {key: FT[key] for key in told}
    check_for_model(found, 32, "model.layers.{}.mlp.down_proj")
    assert read(FT | {"norm_constraint": 5e-4}, "ft_m", "here")["norm_constraint"] == 5e-4
    bare = {key: value for key, value in FT.items() if key != "alg_name"}
    assert read(bare, "locft_bf", "here") == found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objective_optimization": "prompt_last"}, "expected target_new: EasyEdit then is FT-L"),
        ({"batch_size": 0}, "batch_size: found 0, expected at least 1"),
        ({"num_steps": 0}, "num_steps: found 0, expected at least 1"),
        ({"alg_name": "FT-L"}, "alg_name: found 'FT-L', expected FT"),
        ({"v_lr": 0.5}, r"unknown keys \['v_lr'\]"),
        ({"norm_constraint": True}, "norm_constraint: found True, expected a number"),
    ],
)
def test_fine_tuning_has_its_own_keys(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=f"^here: .*{expected}"):
        read(FT | changes, "ft_m", "here")
    with pytest.raises(InputError, match=r"^here: unknown keys \['lr'\]"):
        read(GOOD | {"lr": 0.1}, "memit", "here")


# keys that other published files have beside EasyEdit's usual ones, as they say them
R_ROME = {"enable_prompt_keys": False, "enable_random_prefix_keys": True, "original_implementation": False}
UNIFIED = {"calculate_objective_value": False, "update_norm_lambda": 0, "emmet_lambda": 0.1}
UNIFIED_ROME = {"bias_update": False, "dynamic": False, "dynamic_multiplier": 1, "mom2_adjustment": True}
FORMS = [("r_rome", R_ROME), ("memit", UNIFIED), ("emmet", UNIFIED), ("rome", UNIFIED_ROME)]


@pytest.mark.parametrize(("algorithm", "keys"), FORMS)
def test_files_of_other_published_code_are_read(algorithm: str, keys: dict[str, Any], tmp_path: Path) -> None:
    given = GOOD | {"layers": [5], "fact_token": "subject_last"} | keys
    (tmp_path / "h.json").write_text(json.dumps(given, indent=4).replace("0.5,", "5e-1,"))
    found = read(tmp_path / "h.json", algorithm, "here")
    told = {key: value for key, value in keys.items() if key in kinds(OfTargets)}
    assert found == GOOD | {"layers": [5]} | told


@pytest.mark.parametrize(
    ("algorithm", "key", "value", "line"),
    [
        ("r_rome", "enable_prompt_keys", True, "expected false: EasyEdit's R-ROME then takes the bare"),
        ("r_rome", "enable_random_prefix_keys", False, "expected true: EasyEdit's R-ROME then takes"),
        (
            "r_rome",
            "original_implementation",
            True,
            "expected false: EasyEdit's R-ROME then is ROME; expected",
        ),
        ("memit", "calculate_objective_value", True, "expected false: unified-model-editing then takes"),
        ("rome", "bias_update", True, "expected false: unified-model-editing's ROME then edits the bias"),
        ("rome", "dynamic", True, "expected false: unified-model-editing's ROME then takes the moments"),
        ("memit", "layer_selection", "random", "expected all: MEMIT then draws its layers"),
    ],
)
def test_what_published_code_does_and_this_does_not_is_named(
    algorithm: str, key: str, value: Any, line: str
) -> None:
    with pytest.raises(InputError, match=f"^here: {key}: found {value!r}, {line}"):
        read_hyperparameters(GOOD | {"layers": [5], key: value}, algorithm, "here")


def test_rome_edits_one_layer() -> None:
    with pytest.raises(InputError, match=r"here: layers: found \[4, 5\], expected the one layer that ROME"):
        read_hyperparameters(GOOD | {"layers": [4, 5]}, "rome", "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_length": 0}, "step_length: found 0, expected a finite number above 0"),
        ({"v_lr": -0.5}, "v_lr: found -0.5, expected a finite number above 0"),
        ({"v_lr": float("nan")}, "v_lr: found nan, expected a finite number above 0"),
        ({"v_lr": 1e39}, "v_lr: found 1e\\+39, expected a finite number above 0"),
        ({"v_lr": "nan"}, "v_lr: found nan, expected a finite number above 0"),
        (
            {"clamp_norm_factor": float("inf")},
            "clamp_norm_factor: found inf, expected a finite number above 0",
        ),
        ({"mom2_update_weight": 0}, "mom2_update_weight: found 0, expected a finite number above 0"),
        ({"kl_factor": -1}, "kl_factor: found -1, expected a finite number of at least 0"),
        ({"v_weight_decay": 10**400}, "v_weight_decay: found 1000.*, expected a finite number of at least 0"),
        ({"layers": [5, 4]}, r"layers: found \[5, 4\], expected .* each above the one before"),
        ({"layers": [-1]}, r"layers: found \[-1\], expected a non-empty list of layer numbers"),
        ({"v_learning_rate": 1}, r"unknown keys \['v_learning_rate'\]; known: layers, "),
        ({"v_lr": "half"}, "v_lr: found 'half', expected a number"),
        ({"v_lr": True}, "v_lr: found True, expected a number"),
        ({"v_lr": None}, "v_lr: found None, expected a number"),
        ({"v_num_grad_steps": 2.5}, "v_num_grad_steps: found 2.5, expected a whole number"),
        ({"v_num_grad_steps": 0}, "v_num_grad_steps: found 0, expected at least 1"),
        ({"layers": 5}, "layers: found 5, expected a list"),
        ({"layers": []}, r"layers: found \[\], expected a non-empty list"),
        ({"layers": [1, "2"]}, "layers: .*expected a non-empty list of layer numbers"),
        ({"layers": [True]}, "layers: .*expected a non-empty list of layer numbers"),
        ({"mom2_adjustment": 1}, "mom2_adjustment: found 1, expected true or false"),
        ({"fact_token": "last"}, "fact_token: found 'last', expected subject_last"),
        ({"layer_selection": "random"}, "layer_selection: found 'random', expected all"),
        ({"v_loss_layer": "last"}, "v_loss_layer: found 'last', expected a whole number"),
        ({"rewrite_module_tmp": 3}, "rewrite_module_tmp: found 3, expected text"),
        ({"use_chat_template": True}, r"unknown keys \['use_chat_template'\]; known: layers, "),
        ({"L2": 0}, "L2: found 0, expected a finite number above 0"),
        ({"emmet_lambda": -1}, "emmet_lambda: found -1, expected a finite number of at least 0"),
        ({"alg_name": "FT"}, "alg_name: found 'FT', expected MEMIT"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^here: {message}") as caught:
        read_hyperparameters(GOOD | change, "memit", "here")
    assert "\n" not in str(caught.value)


NOT_YAML = [
    "a: 2020-13-45",
    "a: !!int x",
    "a: !!bool x",
    "a: !!timestamp x",
    "a: 0x_",
    "a: !!float",
    "[" * 5000,
]


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "\t:", "a: !!python/name:os.system", *NOT_YAML])
def test_a_file_that_is_no_mapping_is_named_in_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "h.yaml").write_text(content)
    with pytest.raises(InputError, match=r"h\.yaml: ") as caught:
        read_hyperparameters(tmp_path / "h.yaml", "memit", "here")
    assert "\n" not in str(caught.value)
    for path, problem in [
        ("nowhere.yaml", "no such file"),
        ("", "not readable"),
        ("x" * 300, "not readable"),
    ]:
        with pytest.raises(InputError, match=problem):
            read_hyperparameters(tmp_path / path, "memit", "here")

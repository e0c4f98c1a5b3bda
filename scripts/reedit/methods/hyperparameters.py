"""Hyperparameters of one algorithm on one model, with the keys of EasyEdit's YAML files."""

import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS, Algorithm
from reedit.storage.yaml_files import read_mapping

NUMBER = (int, float)
LARGEST = sys.float_info.max  # YAML's integers have no end
# what the engine reads, and the type of each
USED: Mapping[str, Any] = {
    "layers": list,
    "v_lr": NUMBER,
    "v_num_grad_steps": int,
    "clamp_norm_factor": NUMBER,
    "v_weight_decay": NUMBER,
    "kl_factor": NUMBER,
    "mom2_update_weight": NUMBER,
    "mom2_adjustment": bool,
    "nll_loss_factor": NUMBER,
    "step_length": NUMBER,  # ours, off unless given: not in EasyEdit's files
    "emmet_lambda": NUMBER,
    "update_norm_lambda": NUMBER,
    "L2": NUMBER,
    "nullspace_threshold": NUMBER,
    "protect_own_keys": bool,  # ours: AlphaEdit in the iterative loop
    "v_loss_layer": int,
    "rewrite_module_tmp": str,
    "rewrite_module_tmps": list,
}
POSITIVE = ("v_lr", "clamp_norm_factor", "mom2_update_weight", "nll_loss_factor", "step_length")
POSITIVE += ("L2", "nullspace_threshold")
NOT_NEGATIVE = ("v_weight_decay", "kl_factor", "emmet_lambda", "update_norm_lambda")
# what EasyEdit's files say besides and may say one way only: it is what the algorithms here do
FIXED: Mapping[str, Any] = {"fact_token": "subject_last", "layer_selection": "all"}
# what EasyEdit's files say besides; the model's layout, the corpus and the runs say it here
ACCEPTED = (
    "alg_name",
    "P_loc",
    "attn_module_tmp",
    "batch_size",
    "context_template_length_params",
    "device",
    "fp16",
    "layer_module_tmp",
    "lm_head_module",
    "ln_f_module",
    "max_length",
    "mlp_module_tmp",
    "model_name",
    "model_parallel",
    "mom2_dataset",
    "mom2_dtype",
    "mom2_n_samples",
    "stats_dir",
)
KNOWN = (*USED, *FIXED, *ACCEPTED)
REQUIRED = ("layers", "v_lr", "v_num_grad_steps", "clamp_norm_factor", "v_weight_decay", "kl_factor")


def read_hyperparameters(
    value: Mapping[str, Any] | Path,
    algorithm: str,
    where: str,
    changes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The checked hyperparameters that the engine reads.

    `value` is a mapping or the path of an EasyEdit YAML file; `changes` takes the place of some. Raises
    InputError for an unknown, missing or ill-typed key, a number out of range, or a value that contradicts
    what the algorithms do, naming `where` or the file.
    """
    if isinstance(value, Path):
        value, where = read_mapping(value, "hyperparameters"), str(value)
    value = {**value, **(changes or {})}
    unknown = sorted(map(str, set(value) - set(KNOWN)))
    if unknown:
        raise InputError(f"{where}: unknown keys {unknown}; known: {', '.join(KNOWN)}")
    required = (*REQUIRED, *ALGORITHMS[algorithm].requires)
    missing = sorted(set(required) - set(value))
    if missing:
        raise InputError(f"{where}: lacks {missing}, required for {algorithm}")
    used = {key: _number(value[key]) if USED[key] is NUMBER else value[key] for key in USED if key in value}
    for key, found in used.items():
        wrong_bool = isinstance(found, bool) and USED[key] is not bool
        if wrong_bool or not isinstance(found, USED[key]):
            raise InputError(f"{where}: {key}: found {found!r}, expected {_type_name(USED[key])}")
    for key in (*POSITIVE, *NOT_NEGATIVE):
        number = used.get(key, 1)
        if not ((number > 0 or (number == 0 and key in NOT_NEGATIVE)) and number <= LARGEST):
            expected = "above 0" if key in POSITIVE else "of at least 0"
            raise InputError(f"{where}: {key}: found {number!r}, expected a finite number {expected}")
    layers = used["layers"]
    if not _ascending(layers):
        raise InputError(
            f"{where}: layers: found {layers!r}, expected a non-empty list of layer numbers,"
            " each above the one before"
        )
    if ALGORITHMS[algorithm].one_by_one and len(layers) > 1:
        raise InputError(f"{where}: layers: found {layers!r}, expected the one layer that ROME edits")
    if used["v_num_grad_steps"] < 1:
        raise InputError(f"{where}: v_num_grad_steps: found {used['v_num_grad_steps']}, expected at least 1")
    for key, expected in FIXED.items():
        if value.get(key, expected) != expected:
            raise InputError(f"{where}: {key}: found {value[key]!r}, expected {expected}")
    made_for = str(value.get("alg_name", algorithm))
    if not f"{made_for.lower().replace('-', '_')}_".startswith(f"{algorithm}_"):  # MEMIT_RECURSIVE is MEMIT's
        raise InputError(f"{where}: alg_name: found {made_for!r}, expected {algorithm.upper()}")
    return used


def reads_moments(algorithm: Algorithm, hyperparameters: Mapping[str, Any]) -> bool:
    """Whether an algorithm reads second moments: ROME does not without mom2_adjustment."""
    return not algorithm.one_by_one or hyperparameters.get("mom2_adjustment", False)


def check_for_model(hyperparameters: Mapping[str, Any], layers: int, rewrite_module: str) -> None:
    """Raise InputError where an EasyEdit file was written for another model than the one at hand.

    `layers`: how many the model has; `rewrite_module`: name of the edited module, {} for the layer.
    """
    expected = {
        "v_loss_layer": layers - 1,  # the loss is taken at the model's output
        "rewrite_module_tmp": rewrite_module,
        "rewrite_module_tmps": [rewrite_module],
    }
    for key, value in expected.items():
        found = hyperparameters.get(key, value)
        if found != value:
            raise InputError(f"hyperparameters: {key}: found {found!r}, expected {value!r} for this model")


def _ascending(layers: list[Any]) -> bool:
    """Whether there are layer numbers, from 0 on and each above the one before."""
    numbers = all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers)
    return bool(layers) and numbers and layers[0] >= 0 and all(a < b for a, b in pairwise(layers))


def _number(value: Any) -> Any:
    """YAML reads 5e-1, as EasyEdit's files write it, as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _type_name(kind: Any) -> str:
    return {NUMBER: "a number", list: "a list", int: "an integer", str: "text"}.get(kind) or kind.__name__

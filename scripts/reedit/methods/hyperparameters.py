"""Hyperparameters of one algorithm on one model, with the keys of EasyEdit's and similar files."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS, Algorithm
from reedit.methods.spelling import spelling, spells
from reedit.storage.yaml_files import read_mapping

LARGEST = 3.4e38  # of float32, in which models compute; YAML's integers have no end
Positive = Annotated[float, "above 0"]
NotNegative = Annotated[float, "of at least 0"]


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """What any algorithm reads of EasyEdit's keys; None where nothing is said of one that need not be."""

    layers: list
    v_loss_layer: int | None = None
    rewrite_module_tmp: str | None = None
    rewrite_module_tmps: list | None = None


@dataclass(frozen=True, kw_only=True)
class OfTargets(Hyperparameters):
    """What those read that find targets."""

    v_lr: Positive
    v_num_grad_steps: int
    clamp_norm_factor: Positive
    v_weight_decay: NotNegative
    kl_factor: NotNegative
    mom2_update_weight: Positive | None = None
    mom2_adjustment: bool | None = None
    nll_loss_factor: Positive | None = None
    step_length: Positive | None = None  # ours, off unless given: not in EasyEdit's files
    emmet_lambda: NotNegative | None = None
    update_norm_lambda: NotNegative | None = None
    prob_cutoff: int | None = None  # -n: ENCORE goes on to the n-th pass in which the target leads
    L2: Positive | None = None
    nullspace_threshold: Positive | None = None
    lambda1: NotNegative | None = None  # BetaEdit: of the second moment in its null space
    tau: int | None = None  # likewise, edits from one null space to the next
    alpha: NotNegative | None = None  # NSE: how near a target is near enough
    upper_bound: Positive | None = None  # likewise, from where on it is given up
    max_iterations: int | None = None  # likewise, one more than there are rounds of SPREAD
    neuron_threshold: Positive | None = None  # likewise, the share of |k| that is written to


@dataclass(frozen=True, kw_only=True)
class OfGradients(Hyperparameters):
    """What those read that fine-tune."""

    lr: Positive
    num_steps: int  # epochs
    batch_size: int
    weight_decay: NotNegative | None = None
    norm_constraint: Positive | None = None  # how far a weight may move


def as_mapping(hyperparameters: Hyperparameters) -> dict[str, Any]:
    """What is said, by key."""
    return {key: value for key, value in asdict(hyperparameters).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class OfPairs(Hyperparameters):
    """What UltraEdit reads."""

    lr: Positive
    batch_size: int | None = None


# by Algorithm.takes: who reads them, and how often it goes through its edits, where more than once
READERS: Mapping[str, type[Hyperparameters]] = {
    "targets": OfTargets,
    "gradients": OfGradients,
    "pairs": OfPairs,
}
PASSES = {"targets": "v_num_grad_steps", "gradients": "num_steps"}
LEAST = dict.fromkeys((*PASSES.values(), "batch_size", "tau"), 1) | {"max_iterations": 2}  # of counts


def kinds(reader: type[Hyperparameters]) -> dict[str, Any]:
    """The type of each that it reads, whether or not it has to be said."""
    return {
        key: kind if kind in (list, int, Positive, NotNegative) else get_args(kind)[0]
        for key, kind in get_type_hints(reader, include_extras=True).items()
    }


# of those that find targets, what one algorithm alone has, and no file of another
OWN = ("alpha", "upper_bound", "max_iterations", "neuron_threshold", "lambda1", "tau")
RROME, UNIFIED = "EasyEdit's R-ROME", "unified-model-editing"
# what published files say besides and may say one way only, as the algorithms here do it; and what the
# published code does where it is said the other way
FIXED: Mapping[str, tuple[Any, str]] = {
    "fact_token": ("subject_last", "EasyEdit then edits at another token"),
    "layer_selection": ("all", "MEMIT then draws its layers"),
    "original_implementation": (False, f"{RROME} then is ROME; expected the algorithm rome"),
    "enable_random_prefix_keys": (True, f"{RROME} then takes the bare prompt's key"),
    "enable_prompt_keys": (False, f"{RROME} then takes the bare prompt's key"),
    "calculate_objective_value": (False, f"{UNIFIED} then takes the moments of the model as edited so far"),
    "add_prev_edits": (
        True,
        "ENCORE then leaves no earlier key alone; expected protects: none of the method",
    ),
    "norm_control": (0, "ENCORE then scales its updates"),
    "random_vector_preservation": (False, "ENCORE then leaves random keys alone"),
    "objective_optimization": ("target_new", "EasyEdit then is FT-L, which asks one token alone"),
    "bias_update": (False, f"{UNIFIED}'s ROME then edits the bias too"),
    "dynamic": (False, f"{UNIFIED}'s ROME then takes the moments anew before each edit"),
}
# what published files say besides; the model's layout, the corpus and the runs say it here
ACCEPTED = (
    "alg",
    "alg_name",
    "P_loc",
    "attn_module_tmp",
    "context_template_length_params",
    "device",
    "dynamic_multiplier",  # read with dynamic: true alone
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
# what published files say besides and nobody reads, by Algorithm.takes
UNREAD = {"targets": ("batch_size",), "gradients": ("kl_factor",), "pairs": ()}


def read_hyperparameters(
    value: Mapping[str, Any] | Path,
    algorithm: str,
    where: str,
    changes: Mapping[str, Any] | None = None,
) -> Hyperparameters:
    """The checked hyperparameters that the engine reads.

    `value` is a mapping or the path of a file, YAML or JSON, as EasyEdit, unified-model-editing and the
    paper's code have them; `changes` takes the place of some. Raises
    InputError for an unknown, missing or ill-typed key, a number out of range, or a value that contradicts
    what the algorithms do, naming `where` or the file.
    """
    if isinstance(value, Path):
        value, where = read_mapping(value, "hyperparameters"), str(value)
    value, of = {**value, **(changes or {})}, ALGORITHMS[algorithm]
    reader = READERS[of.takes]
    read, known = kinds(reader), known_keys(of)
    if unknown := sorted(map(str, set(value) - set(known))):
        raise InputError(f"{where}: unknown keys {unknown}; known: {', '.join(known)}")
    required = [key for key in read if not hasattr(reader, key)]
    if missing := sorted({*required, *of.requires} - set(value)):
        raise InputError(f"{where}: lacks {missing}, required for {algorithm}")
    if value.get("norm_constraint") is False:  # so EasyEdit's files say that there is none
        del value["norm_constraint"]
    found = {key: _checked(value[key], kind, f"{where}: {key}") for key, kind in read.items() if key in value}
    layers = found["layers"]
    if not _ascending(layers):
        raise InputError(
            f"{where}: layers: found {layers!r}, expected a non-empty list of layer numbers,"
            " each above the one before"
        )
    if of.one_by_one and len(layers) > 1:
        raise InputError(f"{where}: layers: found {layers!r}, expected the one layer that ROME edits")
    for key, least in LEAST.items():
        if found.get(key, least) < least:
            raise InputError(f"{where}: {key}: found {found[key]}, expected at least {least}")
    if found.get("alpha", 0) >= found.get("upper_bound", math.inf):
        told = f"expected less than upper_bound, {found['upper_bound']}"
        raise InputError(f"{where}: alpha: found {found['alpha']}, {told}")
    if found.get("neuron_threshold", 1) > 1:
        raise InputError(f"{where}: neuron_threshold: found {found['neuron_threshold']}, expected at most 1")
    if found.get("prob_cutoff", -1) > -1:
        told = "expected a whole number below 0: so many passes in which the target leads"
        raise InputError(f"{where}: prob_cutoff: found {found['prob_cutoff']}, {told}")
    for key, (expected, otherwise) in FIXED.items():
        if value.get(key, expected) != expected:
            written = str(expected).lower() if isinstance(expected, bool) else expected
            raise InputError(f"{where}: {key}: found {value[key]!r}, expected {written}: {otherwise}")
    made_for = str(value.get("alg_name", value.get("alg", algorithm)))
    if not spells(algorithm, made_for):
        raise InputError(f"{where}: alg_name: found {made_for!r}, expected {spelling(algorithm).files}")
    return reader(**found)


def known_keys(algorithm: Algorithm) -> tuple[str, ...]:
    """The keys that a file of an algorithm may have."""
    others = {*OWN} - {*algorithm.requires, *algorithm.may}
    read = [key for key in kinds(READERS[algorithm.takes]) if key not in others]
    return (*read, *FIXED, *ACCEPTED, *UNREAD[algorithm.takes])


def reads_moments(algorithm: Algorithm, hyperparameters: Mapping[str, Any]) -> bool:
    """Whether an algorithm reads second moments: no fine-tuning does, nor ROME without mom2_adjustment."""
    asked = not algorithm.one_by_one or hyperparameters.get("mom2_adjustment", False)
    return algorithm.finds_targets and asked


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
        if str(found).removesuffix(".weight") != str(value):  # FT's files name the parameter
            raise InputError(f"hyperparameters: {key}: found {found!r}, expected {value!r} for this model")


def _checked(value: Any, kind: Any, where: str) -> Any:
    """A value of a kind; of a number that YAML takes for text, as 5e-1 in EasyEdit's files, that number."""
    if kind not in (Positive, NotNegative):
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            expected = {list: "a list", int: "a whole number", str: "text", bool: "true or false"}[kind]
            raise InputError(f"{where}: found {value!r}, expected {expected}")
        return value
    number = _number(value)
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise InputError(f"{where}: found {value!r}, expected a number")
    (bound,) = kind.__metadata__
    if not (number > 0 or (number == 0 and kind is NotNegative)) or number > LARGEST:
        raise InputError(f"{where}: found {number!r}, expected a finite number {bound}")
    return number


def _number(value: Any) -> Any:
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _ascending(layers: list[Any]) -> bool:
    """Whether there are layer numbers, from 0 on and each above the one before."""
    numbers = all(isinstance(layer, int) and not isinstance(layer, bool) for layer in layers)
    return bool(layers) and numbers and layers[0] >= 0 and all(a < b for a, b in pairwise(layers))

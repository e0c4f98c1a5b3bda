"""`engine: easyedit`: the published engine on the same model, facts, prefixes and second moments as ours.

The user's own checkout of EasyEdit is imported and its apply function called; what that did is read off the
model's parameters. Perplexities before and after are measured here, on the rows that our engine uses.
EasyEdit does not tell its targets: whatever would need them stays empty (docs/easyedit.md).
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import MISSING, dataclass, fields
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from reedit.edit.easyedit.checkout import apply_module, names_in
from reedit.edit.easyedit.on_cpu import OnCpu
from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found, untold
from reedit.edit.journal import Journal
from reedit.edit.measured import edited_perplexities
from reedit.errors import InputError
from reedit.jobs.device import job_device
from reedit.methods.recipe import Step
from reedit.methods.spelling import spelling
from reedit.models.language_model import LanguageModel
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.facts import Fact, filled
from reedit.statistics.moments import read_moment
from reedit.statistics.npz_statistics import Statistics, file_name, write_statistics


@dataclass(frozen=True)
class Names:
    """What EasyEdit calls an architecture, and what it names of it beyond our Layout."""

    family: str  # it tells architectures by parts of a model's name
    attention_output: str  # of a layer: the linear map at the end of the attention module
    final_norm: str  # of the backbone


LLAMA = Names("llama", "self_attn.o_proj", "norm")
NAMES: Mapping[str, Names] = {  # by model_type; not those with a norm after the MLP, which it ignores
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "gpt2": Names("gpt2", "attn.c_proj", "ln_f"),
    "gptj": Names("gpt-j", "attn.out_proj", "ln_f"),
    "gpt_neox": Names("neo", "attention.dense", "final_layer_norm"),
}
CORPUS, SAMPLES = "reedit", 1  # what EasyEdit is to find our second moments under; labels and no more


@dataclass(frozen=True)
class Published:
    """An algorithm of a checkout: the module, its apply function and the class of its hyperparameters."""

    module: ModuleType
    apply: Callable[..., Any]
    hyperparameters: type


def load_published(checkout: Path, algorithm: str) -> Published:
    """Import an algorithm of a checkout; what it would download is refused from here on.

    Raises InputError where the checkout does not import, or is not what is imported.
    """
    name = apply_module(algorithm)
    try:
        with _importable(checkout):
            module = import_module(name)
            statistics = import_module("easyeditor.models.rome.layer_stats")
            apply, hyperparameters = (getattr(module, one) for one in names_in(algorithm))
    except Exception as error:  # whatever the user's own code raises
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{checkout}: {name} does not import in this environment ({told})") from error
    if not Path(str(module.__file__)).resolve().is_relative_to(checkout.resolve()):
        raise InputError(f"{checkout}: {name} is imported from {module.__file__} instead")
    statistics.load_dataset = _refuse_download
    return Published(module, apply, hyperparameters)


@contextmanager
def _importable(checkout: Path) -> Iterator[None]:
    """Have the modules of a checkout importable, and write no compiled files into it.

    Its packages are bare: what they import of themselves, dozens of algorithms and all that those need, is
    nothing to the one that is asked for.
    """
    unwritten, root = sys.dont_write_bytecode, checkout.resolve()
    sys.dont_write_bytecode = True
    for folder in sorted({file.parent for file in (root / "easyeditor").rglob("*.py")}):
        name = ".".join(folder.relative_to(root).parts)
        package = sys.modules.setdefault(name, ModuleType(name))
        package.__dict__.setdefault("__path__", [str(folder)])
    try:
        yield
    finally:
        sys.dont_write_bytecode = unwritten


def _refuse_download(*_: Any, **__: Any) -> None:
    raise InputError("engine easyedit: EasyEdit did not find the second moments and wanted to download text")


@dataclass(frozen=True)
class Material:
    """What EasyEdit is given beside a model and facts."""

    folder: Path  # the prepared model's, for a tokenizer of EasyEdit's own
    repository: str  # where the model comes from
    templates: Sequence[str]
    moments: Path | None  # folder of our second moments, None for ROME without them
    scratch: Path  # a folder for the copies of them that EasyEdit reads


class Engine:
    """An algorithm of a checkout, ready to edit one model; `facts`: those that it may be asked to edit."""

    def __init__(
        self, published: Published, editor: Editor, facts: Sequence[Fact], material: Material
    ) -> None:
        self.published, self.model = published, editor.model
        self.facts = {fact.case_id: fact for fact in facts}
        model, recipe = editor.model, editor.recipe
        repository, templates = material.repository, material.templates
        kind = model.model.config.model_type
        if kind not in NAMES:
            raise InputError(
                f"engine easyedit: not for models of the architecture {kind!r}; engine reedit is"
            )
        names = NAMES[kind]
        short = repository.rsplit("/")[-1].lower()  # without a slash: it becomes part of a path
        name = short if names.family in short else f"{names.family}-{short}"
        model.model.config._name_or_path = name  # tells EasyEdit the architecture
        model.model.name_or_path = repository  # tells it whether PMET puts a space before a target
        self.tokenizer = load_tokenizer(material.folder)
        self.tokenizer.padding_side = "right"  # it counts labels from a row's beginning
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token
        values = _values(model, recipe.hyperparameters, recipe.algorithm.name)
        values |= {"model_name": name, "stats_dir": str(material.scratch), "P_loc": str(material.scratch)}
        self.hyperparameters = _made(published.hyperparameters, values)
        if not hasattr(published.module, "CONTEXT_TEMPLATES_CACHE"):
            raise InputError(
                f"{published.module.__name__}: has no CONTEXT_TEMPLATES_CACHE to put prefixes in"
            )
        # MEMIT and PMET average over the rows of a kind, then over the kinds; ROME over all rows
        kinds = [["{}"], list(templates)] if templates else [["{}"]]
        published.module.CONTEXT_TEMPLATES_CACHE = (
            ["{}", *templates] if recipe.algorithm.one_by_one else kinds
        )
        if recipe.algorithm.preserves == "null_space":  # P is known: EasyEdit would write it where it stands
            bases = [editor.factors[layer] for layer in recipe.layers]
            published.module.P = torch.stack([(basis @ basis.T).float() for basis in bases])
            published.module.cache_c = torch.zeros_like(published.module.P)
            published.module.P_loaded = published.module.cache_c_new = True
        if material.moments:
            _write_statistics(material.moments, recipe.layers, model, material.scratch / name)

    def take(self, editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
        """A step as the checkout takes it: where its edits began, and what it has made of the weights."""
        model, initial = editor.model, edited_perplexities(editor, edits)
        with model.restored(step.layers), self._accumulating(editor, step):
            before = {layer: model.weight(layer) for layer in step.layers}
            self.apply([self.facts[edit.case_id] for edit in edits])
            for layer in step.layers:
                model.adopt_weight(layer)
            return untold(initial), Update({layer: model.weight(layer) - before[layer] for layer in before})

    @contextmanager
    def _accumulating(self, editor: Editor, step: Step) -> Iterator[None]:
        """AlphaEdit adds what it has written to the keys that it leaves alone, in a variable of its module.

        Here the job's memory has them, which an interrupted job goes on from.
        """
        module = self.published.module
        if editor.recipe.algorithm.preserves != "null_space":
            yield
            return
        module.cache_c = torch.zeros_like(module.P)
        for place, layer in enumerate(step.layers):
            if (product := editor.memory.product(layer)) is not None:
                module.cache_c[place] += product
        compute_ks, found = module.compute_ks, {}

        def watched(
            model: Any, tokenizer: Any, requests: Any, hparams: Any, layer: int, *rest: Any
        ) -> Tensor:
            found[layer] = compute_ks(model, tokenizer, requests, hparams, layer, *rest)
            return found[layer]  # the last ones are those that it accumulates

        module.compute_ks = watched
        try:
            yield
        finally:
            module.compute_ks = compute_ks
        editor.memory.remember(step.batch, {layer: found[layer].detach() for layer in step.layers}, adds=True)

    def apply(self, facts: Sequence[Fact]) -> None:
        """Edit facts together, in the model's parameters; its chatter, a line a pass, goes nowhere."""
        requests = [_request(fact) for fact in facts]
        away = nullcontext() if job_device() == "cuda" else OnCpu()
        with (
            open(os.devnull, "w") as nowhere,
            redirect_stdout(nowhere),
            tuples_between_layers(self.model),
            away,
        ):
            self.published.apply(
                *(self.model.model, self.tokenizer, requests, self.hyperparameters),
                copy=False,
                return_orig_weights=False,
            )


def module_names(model: LanguageModel, algorithm: str) -> dict[str, str]:
    """What EasyEdit calls the modules of a model, under its own keys; of an architecture it does not know,
    as far as ours has them.
    """
    layout, head = model.layout, model.head.weight
    names = NAMES.get(model.model.config.model_type)
    layer, rewrite = f"{layout.backbone}.{layout.layers}.{{}}", model.module_name("{}")
    damped = algorithm == "pmet"  # its vectors are the outputs of the two last linear maps
    attention = names.attention_output if damped and names else layout.attention
    # a tied head has no name of its own among the parameters
    tied = next(name for name, parameter in model.model.named_parameters() if parameter is head)
    return {
        "rewrite_module_tmp": rewrite,
        "layer_module_tmp": layer,
        "mlp_module_tmp": rewrite if damped else rewrite.rpartition(".")[0],
        "attn_module_tmp": f"{layer}.{attention}",
        "lm_head_module": tied.removesuffix(".weight"),
    } | ({"ln_f_module": f"{layout.backbone}.{names.final_norm}"} if names else {})


def _values(model: LanguageModel, given: Mapping[str, Any], algorithm: str) -> dict[str, Any]:
    """What EasyEdit's classes of hyperparameters ask for, under its own keys."""
    return {
        "layer_selection": "all",
        "fact_token": "subject_last",
        "mom2_adjustment": algorithm != "rome",
        "nll_loss_factor": 1.0,
        "mom2_update_weight": 1.0,
        **given,
        "v_loss_layer": len(model.layers) - 1,
        "context_template_length_params": [],  # the prefixes are given
        **module_names(model, algorithm),
        "rewrite_module_tmps": [model.module_name("{}")],
        "mom2_dataset": CORPUS,
        "mom2_n_samples": SAMPLES,
        "mom2_dtype": "float32",
        "alg_name": spelling(algorithm).files,
        "device": 0,
        # newer checkouts: ROME as it was published, u over all rows and k of the bare prompt
        "original_implementation": True,
        "enable_random_prefix_keys": False,
        "enable_prompt_keys": False,
    }


def _made(kind: type, values: Mapping[str, Any]) -> Any:
    """An object of a dataclass from those of `values` that it has; InputError for a field without one."""
    known = fields(kind)
    unset = [f for f in known if f.name not in values and f.default is MISSING]
    missing = [f.name for f in unset if f.default_factory is MISSING]
    if missing:
        raise InputError(f"{kind.__module__}: {kind.__name__} wants {missing}, which this workflow has not")
    return kind(**{field.name: values[field.name] for field in known if field.name in values})


def _request(fact: Fact) -> dict[str, Any]:
    """A fact as EasyEdit takes it; it puts texts together with str.format."""
    if set("{}") & set(filled(fact.prompt, "") + fact.subject + fact.target_new):
        raise InputError(f"case {fact.case_id}: braces in a text, which EasyEdit cannot edit")
    return {
        "case_id": fact.case_id,
        "prompt": fact.prompt,
        "subject": fact.subject,
        "target_new": fact.target_new,
        "ground_truth": fact.target_true,
    }


@contextmanager
def tuples_between_layers(model: LanguageModel) -> Iterator[None]:
    """Have every layer return (hidden states,), as the transformers that EasyEdit was written for did."""
    norm = model.backbone.get_submodule(NAMES[model.model.config.model_type].final_norm)
    changed: list[nn.Module] = [*model.layers, norm]
    for module in changed:
        module.forward = _with_tuples(module.forward, returned=module is not norm)
    try:
        yield
    finally:
        for module in changed:
            del module.forward  # the class's own again


def _with_tuples(forward: Callable[..., Any], returned: bool) -> Callable[..., Any]:
    """`forward` that takes its hidden states from a tuple too, and wraps them in one if `returned`."""

    def wrapped(hidden: Tensor | tuple[Tensor, ...], *args: Any, **kwargs: Any) -> Any:
        output = forward(hidden[0] if isinstance(hidden, tuple) else hidden, *args, **kwargs)
        return (output,) if returned and not isinstance(output, tuple) else output

    return wrapped


def _write_statistics(moments: Path, layers: Sequence[int], model: LanguageModel, folder: Path) -> None:
    """Our second moments as the files that EasyEdit looks for in `folder`, the model's own."""
    for layer in layers:
        moment, metadata = read_moment(moments / f"{layer}.safetensors")
        name = model.module_name(layer)
        file = folder / f"{CORPUS}_stats" / file_name(name, SAMPLES)
        write_statistics(Statistics(moment, int(metadata["count"]), SAMPLES), file)


@contextmanager
def scratch_folder(journal: Journal) -> Iterator[Path]:
    """A folder inside the job's journal that is gone afterwards: the copies of the moments are large."""
    with TemporaryDirectory(prefix="statistics", dir=journal.folder) as folder:
        yield Path(folder)

"""Causal tracing: in which layers the subject's last token carries what the model knows of a fact.

Meng et al. 2022 (ROME, section 2): noise on the subject's embeddings makes the model lose the fact; states of
the clean pass are put back at the subject's last token, some layers at a time, and what that restores of the
answer's probability is their indirect effect. MEMIT edits the MLPs of layers where it is large.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from reedit.errors import InputError
from reedit.jobs.progress import progress
from reedit.models.batches import halving, list_halves
from reedit.models.hooks import captured
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.models.numbers import wide
from reedit.models.tokens import LabelledRow
from reedit.prepare.facts import NO_ANSWER, Fact

KINDS = ("hidden", "mlp", "attention")  # outputs of a layer, and of its two modules


@dataclass(frozen=True)
class Known:
    """A fact that the model knows: its prompt's tokens, the subject's place, the answer's first token."""

    case_id: int
    ids: tuple[int, ...]
    subject: tuple[int, int]  # positions of its first and of its last token, t
    answer: int


def trace_facts(
    model: LanguageModel, facts: Sequence[Fact], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows of the schema ``tracing`` for `facts` of the model's known ones, drawn with the seed.

    `settings`: how many `facts`; `samples` of noise for each; `noise`, its standard deviation by that of the
    subjects' embeddings; `window`, so many layers at a time have their MLP or attention restored (of `hidden`
    one is enough: it holds all that came before); `kinds`, where not all of KINDS are restored. Raises
    InputError where the model knows none of the facts.
    """
    known = known_facts(model, facts, settings["facts"], settings["seed"])
    embedding = model.model.get_input_embeddings()
    subjects = [token for fact in known for token in fact.ids[fact.subject[0] : fact.subject[1] + 1]]
    with torch.no_grad():
        spread = wide(embedding(torch.tensor(subjects, device=model.device))).std().item()
    report, rows = progress("causal tracing, facts", len(known)), []
    for done, fact in enumerate(known, 1):
        rows += _trace(model, fact, settings, settings["noise"] * spread)
        report(done)
    return rows


class NothingKnown(InputError):
    """The model knows none of the facts that were to be traced."""


def known_facts(model: LanguageModel, facts: Sequence[Fact], count: int, seed: int) -> list[Known]:
    """At most `count` facts, in a seeded order, whose true object is the argmax at every token.

    Facts whose tokens do not align are left out with a line; those that tell no true object are not asked.
    Raises NothingKnown where none is known.
    """
    facts = [fact for fact in facts if fact.target_true != NO_ANSWER]
    order = np.random.default_rng(seed).permutation(len(facts))
    asked, crossing, known = 0, 0, []
    for start in range(0, len(order), 4 * count):
        some = []
        for place in order[start : start + 4 * count]:
            try:
                some.append(_candidate(model, facts[place]))
            except InputError:
                crossing += 1
        said = likelihoods(model, [row for _, row in some])
        known += [fact for (fact, row), one in zip(some, said, strict=True) if one.argmax == row.labels]
        asked += len(some)
        if len(known) >= count:
            break
    if crossing:
        logging.getLogger("reedit").info("%d facts left out: a token crosses the subject's end", crossing)
    if not known:
        raise NothingKnown(f"causal tracing: the model knows none of {asked} facts, expected one")
    return known[:count]


def unit_noise(seed: int, case_id: int, shape: Sequence[int]) -> Tensor:
    """Standard normal noise of a case, whatever the other cases; [samples, subject, d], on the CPU."""
    return torch.from_numpy(np.random.default_rng([seed, case_id]).standard_normal(shape))


def _candidate(model: LanguageModel, fact: Fact) -> tuple[Known, LabelledRow]:
    """A fact as `known_facts` looks at it; InputError where its tokens do not align."""
    wording, where = model.wording, f"case {fact.case_id}"
    row = wording.joint(fact.text, fact.target_true, where)
    last = wording.position(row.ids, fact.text, fact.end, where)
    first = wording.first_token(fact.text, fact.start)
    ids = row.ids[: len(row.ids) - len(row.labels) + 1]
    return Known(fact.case_id, ids, (first, last), row.labels[0]), row


@torch.no_grad()
def _trace(model: LanguageModel, fact: Known, settings: Mapping[str, Any], scale: float) -> list[dict]:
    """The rows of one fact; `scale` is the noise's standard deviation."""
    first, t = fact.subject
    modules = {kind: _modules(model, kind) for kind in settings.get("kinds", KINDS)}
    every = {f"{kind}.{i}": m for kind, found in modules.items() for i, m in enumerate(found)}
    with captured({}, every) as clean:
        p_clean = _answer(model, fact, 1)[0].item()
    width = next(iter(clean.values())).shape[-1]
    shape = (settings["samples"], t - first + 1, width)
    noise = scale * unit_noise(settings["seed"], fact.case_id, shape)  # [samples, subject, d]
    with _noisy(model, noise, first):
        p_corrupted = _answer(model, fact, len(noise)).tolist()
    rows = []
    for kind, found in modules.items():
        size = 1 if kind == "hidden" else min(settings["window"], len(found))
        given = [clean[f"{kind}.{layer}"][0, t] for layer in range(len(found))]  # [d] each
        runs = [(s, layer) for layer in range(len(found) - size + 1) for s in range(len(noise))]

        def restored(batch: Sequence[tuple[int, int]], found=found, given=given, size=size) -> list[float]:
            with _noisy(model, noise[[s for s, _ in batch]], first), ExitStack() as stack:
                for layer, module in enumerate(found):
                    lines = [i for i, (_, start) in enumerate(batch) if start <= layer < start + size]
                    if lines:
                        stack.enter_context(_given(module, lines, t, given[layer]))
                return _answer(model, fact, len(batch)).tolist()

        found_p = [p for batch in halving([runs], restored, list_halves) for p in batch]
        rows += [
            {
                "case_id": fact.case_id,
                "kind": kind,
                "layer": layer,
                "layers": size,
                "sample": s,
                "p_clean": p_clean,
                "p_corrupted": p_corrupted[s],
                "p_restored": p,
            }
            for (s, layer), p in zip(runs, found_p, strict=True)
        ]
    return rows


def _modules(model: LanguageModel, kind: str) -> list[nn.Module]:
    """The modules, layer by layer, whose outputs are restored."""
    of_kind = {"hidden": lambda i: model.layers[i], "mlp": model.mlp, "attention": model.attention}
    return [of_kind[kind](layer) for layer in range(len(model.layers))]


def _answer(model: LanguageModel, fact: Known, rows: int) -> Tensor:
    """Probability of the answer's first token after the prompt in so many equal rows, [rows]."""
    ids = torch.tensor([fact.ids] * rows, device=model.device)
    final = model.backbone(input_ids=ids, use_cache=False)[0][:, -1]  # [rows, d]
    return model.logits(final).softmax(1)[:, fact.answer]


def _noisy(model: LanguageModel, noise: Tensor, first: int) -> RemovableHandle:
    """Entered: `noise` [rows, subject, d] on the embeddings from `first` on of passes of as many rows."""

    def add(module: nn.Module, args: object, out: Tensor) -> Tensor:
        out = out.clone()
        out[:, first : first + noise.shape[1]] += noise.to(out)
        return out

    return model.model.get_input_embeddings().register_forward_hook(add)


def _given(module: nn.Module, lines: Sequence[int], t: int, state: Tensor) -> RemovableHandle:
    """Entered: the output of `module` at position t of the rows `lines` is `state` [d]."""

    def put(module: nn.Module, args: object, out: Any) -> Any:
        changed = (out[0] if isinstance(out, tuple) else out).clone()
        changed[list(lines), t] = state
        return (changed, *out[1:]) if isinstance(out, tuple) else changed

    return module.register_forward_hook(put)

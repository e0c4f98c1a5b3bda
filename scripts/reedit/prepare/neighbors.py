"""The neighbor filter of the paper's Appendix B.2; who assists and who evaluates after it, roles.py says."""

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reedit.errors import InputError
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import greedy_continuations, likelihoods
from reedit.models.tokens import LabelledRow
from reedit.prepare.facts import Fact
from reedit.storage.checkpoint import Checkpoint

PIECE = 1000  # neighbors asked about at once
Pair = tuple[str, str]  # prompt and object
Answer = tuple[str, bool]  # what is predicted, and whether that is the object


def filter_neighbors(
    model: LanguageModel,
    facts: Sequence[Fact],
    in_file_order: bool,
    seed: int,
    saved: Checkpoint | None = None,
    knows_all: bool = False,
) -> list[dict[str, Any]]:
    """Rows of the schema ``neighbors``: what the unedited model says of every neighbor.

    A neighbor is kept where the teacher-forced argmax equals its object at every token, or with `knows_all`
    (a rehearsal's stand-in, which knows nothing) whatever is said; one whose object does not start a new
    token is asked nothing and not kept. `order` is the rank in which neighbors assist: that of the file, or
    seeded, case by case. `saved` keeps the answers, now and then: an interrupted job goes on from there.
    """
    pairs = list(dict.fromkeys((n.prompt, n.object) for fact in facts for n in fact.neighbors))
    found = [_row(model, pair) for pair in pairs]
    aligned = [pair for pair, row in zip(pairs, found, strict=True) if row]
    said = dict.fromkeys(pairs, ("", False))
    said |= _predictions(model, aligned, [row for row in found if row], saved)
    rows, asked = [], set(aligned)
    for fact in facts:
        count = len(fact.neighbors)
        ranks = range(count)
        if not in_file_order:
            ranks = np.random.default_rng([seed, fact.case_id]).permutation(count).tolist()
        for i, neighbor in enumerate(fact.neighbors):
            pair = neighbor.prompt, neighbor.object
            predicted, kept = said[pair]
            rows.append(
                {
                    "case_id": fact.case_id,
                    "neighbor": i,
                    "subject": neighbor.subject,
                    "prompt": neighbor.prompt,
                    "object": neighbor.object,
                    "predicted": predicted,
                    "kept": kept or (knows_all and pair in asked),
                    "order": ranks[i],
                }
            )
    kept = sum(row["kept"] for row in rows)
    logging.getLogger("reedit").info("%d of %d neighbors kept", kept, len(rows))
    return rows


def _row(model: LanguageModel, pair: Pair) -> LabelledRow | None:
    """The row of a neighbor; None, with a line, where its object does not start a new token."""
    try:
        return model.wording.joint(*pair, f"neighbor {pair[0]!r}")
    except InputError as error:
        logging.getLogger("reedit").info("not kept: %s", error)
        return None


def _predictions(
    model: LanguageModel, pairs: Sequence[Pair], rows: Sequence[LabelledRow], saved: Checkpoint | None
) -> dict[Pair, Answer]:
    """For (prompt, object): the greedy continuation of the object's length, and whether it is the object."""
    said: list[Answer] = (saved.restore(_read) if saved else None) or []
    report = progress("neighbors", len(rows), begun=len(said))
    while len(said) < len(rows):
        piece = slice(len(said), len(said) + PIECE)
        said += _answers(model, pairs[piece], rows[piece])
        report(len(said))
        if saved:
            saved.save_when_due(partial(_write, said))
    return dict(zip(pairs, said, strict=True))


def _write(said: list[Answer], folder: Path) -> None:
    """Save the answers to the first pairs."""
    (folder / "answers.json").write_text(json.dumps(said))


def _read(folder: Path) -> list[Answer]:
    """What `_write` has saved."""
    return [(predicted, kept) for predicted, kept in json.loads((folder / "answers.json").read_text())]


def _answers(model: LanguageModel, pairs: Sequence[Pair], rows: Sequence[LabelledRow]) -> list[Answer]:
    """What the model says of some pairs, whose rows these are."""
    said = likelihoods(model, rows)
    # what is said up to the first token that is not the object's is the greedy continuation so far
    begun = [
        _greedy_beginning(likelihood.argmax, row.labels) for likelihood, row in zip(said, rows, strict=True)
    ]
    prompts = [
        [*model.wording.encode(prompt), *start] for (prompt, _), start in zip(pairs, begun, strict=True)
    ]
    missing = [len(row.labels) - len(start) for row, start in zip(rows, begun, strict=True)]
    ends = greedy_continuations(model, prompts, missing)
    texts = [model.tokenizer.decode(start + end).strip() for start, end in zip(begun, ends, strict=True)]
    return [
        (text, likelihood.argmax == row.labels)
        for text, likelihood, row in zip(texts, said, rows, strict=True)
    ]


def _greedy_beginning(argmax: Sequence[int], labels: Sequence[int]) -> tuple[int, ...]:
    """The argmaxes up to and with the first that differs from its label; all where none does."""
    first = next(
        (i for i, (said, label) in enumerate(zip(argmax, labels, strict=True)) if said != label), None
    )
    return tuple(argmax if first is None else argmax[: first + 1])

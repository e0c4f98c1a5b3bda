"""Groups of prompts beside the scored ones: teacher-forced, and asked freely (design, section 11).

What should follow from an edit (portability: one hop, reasoning, aliases), and what should stay. A question
of several hops is only fair where the model knows those that are not edited: its premises are asked of the
unedited model.
"""

import logging
from collections.abc import Sequence
from typing import Any

from reedit.errors import InputError
from reedit.evaluate.answers import gives
from reedit.evaluate.judge import Judge, answered, by_alias
from reedit.evaluate.speech import Speech, said
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import Likelihood, likelihoods
from reedit.models.tokens import LabelledRow
from reedit.prepare.groups import Item


def ask(
    model: LanguageModel, items: Sequence[Item], k: int, speech: Speech, judge: Judge = by_alias
) -> list[dict[str, Any]]:
    """Rows of the schema ``portability`` for the model as it is, one an item, in order.

    accuracy and exact_match are of the first answer's tokens, each after those before it; null where they do
    not follow the prompt's. judged_true: what the model says gives one of the answers, as the judge has it.
    What does not fit into the model is null. premise_known: at k = 0 alone, always by alias.
    """
    rows = [_row(model, item) for item in items]
    forced = _forced(model, rows, k)
    asked = [(item.prompt, item.answers) for item in items]
    found = answered(model, asked, speech, judge, f"k={k} groups, prompts")
    known = premises_known(model, items, speech) if k == 0 else [None] * len(items)
    _tell(rows, [text for text, _ in found])
    return [
        {
            "k": k,
            "case_id": item.case_id,
            "group": item.group,
            "item": item.item,
            "accuracy": accuracy,
            "exact_match": None if accuracy is None else float(accuracy == 1),
            "generated": text,
            "judged_true": verdict,
            "premise_known": knows,
            "after": None,
        }
        for item, accuracy, (text, verdict), knows in zip(items, forced, found, known, strict=True)
    ]


def premises_known(model: LanguageModel, items: Sequence[Item], speech: Speech) -> list[bool | None]:
    """Whether the model, which is unedited, gives an answer to every premise of each item.

    None where the data tells no premises, or where one does not fit into the model.
    """
    needed = dict.fromkeys(one.prompt for item in items for one in item.premises or ())
    asked = [prompt for prompt in needed if speech.fits(model, prompt)]
    texts = dict(zip(asked, said(model, asked, speech, "k=0 premises, prompts"), strict=True))

    def known(item: Item) -> bool | None:
        if item.premises is None or any(one.prompt not in texts for one in item.premises):
            return None
        return all(gives(texts[one.prompt], one.answers) for one in item.premises)

    return [known(item) for item in items]


def _row(model: LanguageModel, item: Item) -> LabelledRow | None:
    """The row of an item's first answer; None where it cannot be asked for by teacher forcing."""
    where = f"case {item.case_id}, {item.group} {item.item}"
    try:
        row = model.wording.joint(item.prompt, item.answers[0], where)
        model.check_length(row.ids, where=where)
    except InputError as error:
        logging.getLogger("reedit").debug("%s", error)
        return None
    return row


def _forced(model: LanguageModel, rows: Sequence[LabelledRow | None], k: int) -> list[float | None]:
    """The share of each row's labels that are the argmax; None for none."""
    there = [row for row in rows if row is not None]
    found = iter(likelihoods(model, there, report=progress(f"k={k} groups, rows", len(there))))
    return [None if row is None else _share(row, next(found)) for row in rows]


def _share(row: LabelledRow, likely: Likelihood) -> float:
    hits = [a == b for a, b in zip(likely.argmax, row.labels, strict=True)]
    return sum(hits) / len(hits)


def _tell(rows: Sequence[LabelledRow | None], texts: Sequence[str | None]) -> None:
    """A line of what could not be asked."""
    lacking, long = rows.count(None), texts.count(None)
    if lacking or long:
        told = "of %d prompts of groups %d have no answer that their tokens go on with, %d are too long"
        logging.getLogger("reedit").info(told, len(rows), lacking, long)

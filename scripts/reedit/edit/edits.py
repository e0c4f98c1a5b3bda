"""The rows that one edit consists of: rewriting rows, assisting neighbors, and the KL row.

Design, section 4 (Prefixes, OPTIMIZATION, Neighbor-assisted) and section 5 (released target tokens).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from reedit.errors import InputError
from reedit.models.tokens import (
    LabelledRow,
    encode,
    joint_row,
    released_position,
    released_row,
    subject_position,
)
from reedit.prepare.facts import Fact, Neighbor


@dataclass(frozen=True)
class WeightedRow:
    """A row with the factors by which the sum of its labels' NLL enters the loss and log perplexity."""

    row: LabelledRow
    loss_weight: float
    perplexity_weight: float


@dataclass(frozen=True)
class Edit:
    """Everything that OPTIMIZATION and SPREAD read of one case."""

    case_id: int
    rewriting: tuple[WeightedRow, ...]  # the bare prompt first, then the prefixed ones
    neighbors: tuple[WeightedRow, ...]
    kl: LabelledRow  # up to the position of the subject's last token; it has no labels

    @property
    def labelled(self) -> tuple[WeightedRow, ...]:
        return self.rewriting + self.neighbors


def make_edit(
    tokenizer: PreTrainedTokenizerBase,
    fact: Fact,
    templates: Sequence[str],
    assistants: Sequence[Neighbor],
    prefixed: bool,
    protocol: str,
    spaced: bool = True,
) -> Edit:
    """The rows of one case.

    `templates`: prefix templates, each with one ``{}``; `assistants`: the neighbors in the loss, bare or
    with the first prefix; `spaced`: whether `released` puts a space before target_new (see algorithms.py).
    Raises InputError, naming the case, where tokens do not align; `released` takes nearly all as they come.
    """
    where = f"case {fact.case_id}"
    position_of = released_position if protocol == "released" else subject_position
    text = fact.prompt.replace("{}", fact.subject)
    end = fact.prompt.index("{}") + len(fact.subject)

    def row(text: str, end: int, template: str, target: str, spaced: bool = True) -> LabelledRow:
        full, shift = template.replace("{}", text), template.index("{}")
        if protocol == "released":
            labelled = released_row(tokenizer, full, f" {target}" if spaced else target, where)
        else:
            labelled = joint_row(tokenizer, full, target, where)
        position = position_of(tokenizer, labelled.ids, full, shift + end, where)
        return LabelledRow(labelled.ids, labelled.labels, position)

    rewriting = [row(text, end, template, fact.target_new, spaced) for template in ("{}", *templates)]
    neighbors = []
    for neighbor in assistants:
        subject = neighbor.subject_under(protocol)
        if subject is None:
            raise InputError(f"{where}: neighbor {neighbor.prompt!r} has no known subject and cannot assist")
        stop = neighbor.prompt.index(subject) + len(subject)
        if prefixed and not templates:
            raise InputError(
                f"{where}: prefixed neighbors need a prefix template, expected prefixes.count > 0"
            )
        template = templates[0] if prefixed else "{}"
        neighbors.append(row(neighbor.prompt, stop, template, neighbor.object))
    essence = f"{fact.subject} is a"
    ids = encode(tokenizer, essence)
    position = position_of(tokenizer, ids, essence, len(fact.subject), where)
    kl = LabelledRow(tuple(ids[: position + 1]), (), position)
    return Edit(fact.case_id, *_weighted(rewriting, neighbors, protocol), kl)


def _weighted(
    rewriting: Sequence[LabelledRow], neighbors: Sequence[LabelledRow], protocol: str
) -> tuple[tuple[WeightedRow, ...], tuple[WeightedRow, ...]]:
    """Row weights of the two protocols (design, sections 4 and 5, neighbor loss)."""
    tokens = len(rewriting[0].labels)
    if protocol == "released":  # one mean over all rows, each divided by the tokens of target_new
        share = 1 / (len(rewriting) + len(neighbors)) / tokens
        return (
            tuple(WeightedRow(row, share, share) for row in rewriting),
            tuple(WeightedRow(row, share, share) for row in neighbors),
        )
    share = 1 / len(rewriting) / tokens
    return (
        tuple(WeightedRow(row, share, share) for row in rewriting),
        tuple(WeightedRow(row, 1 / len(neighbors) / len(row.labels), 0.0) for row in neighbors),
    )

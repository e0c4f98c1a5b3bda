"""The rows that one edit consists of: rewriting rows, assisting neighbors, and the KL row.

Design, section 4 (Prefixes, OPTIMIZATION, Neighbor-assisted) and section 5 (released target tokens).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reedit.errors import InputError
from reedit.methods.protocols import PROTOCOLS
from reedit.models.tokens import LabelledRow, Wording
from reedit.prepare.facts import Fact, Neighbor, filled


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


@dataclass(frozen=True)
class Rows:
    """What makes the rows of cases under a protocol.

        Rows(Wording(tokenizer), "corrected", templates).edit(fact, assistants)

    `templates`: prefix templates, each with one ``{}``; `spaced`: whether `released` puts a space before
    target_new (Algorithm.released_space); `subject_end`: where a subject's last token stands, the protocol's
    way where None; `where`: the case, for errors. Raises InputError, naming the case, where tokens do not
    align; `released` takes nearly all as they come.
    """

    wording: Wording
    protocol: str
    templates: Sequence[str] = ()
    spaced: bool = True
    subject_end: str | None = None
    where: str = ""

    def edit(self, fact: Fact, assistants: Sequence[Neighbor] = (), prefixed: bool = False) -> Edit:
        """All rows of a case; `assistants`: the neighbors in the loss, bare or behind the first prefix."""
        rows = replace(self, where=f"case {fact.case_id}")
        rewriting = [
            rows.at_subject(fact.text, fact.end, t, fact.target_new) for t in ("{}", *self.templates)
        ]
        if assistants and prefixed and not self.templates:
            told = "prefixed neighbors need a prefix template, expected prefixes.count > 0"
            raise InputError(f"{rows.where}: {told}")
        template = self.templates[0] if prefixed and self.templates else "{}"
        neighbors = [rows.assisting(neighbor, template) for neighbor in assistants]
        return Edit(fact.case_id, *_weighted(rewriting, neighbors, self.protocol), rows.kl(fact.subject))

    def at_subject(self, text: str, end: int, template: str, target: str) -> LabelledRow:
        """A text whose subject ends at character `end`, in a prefix template, and what it should say."""
        full, shift = filled(template, text), template.index("{}")
        if PROTOCOLS[self.protocol].joint_tokens:
            labelled = self.wording.joint(full, target, self.where)
        else:
            before = self.wording.separator if self.spaced else ""
            labelled = self.wording.released(full, before + target, self.where)
        position = self.position(labelled.ids, full, shift + end)
        return LabelledRow(labelled.ids, labelled.labels, position)

    def assisting(self, neighbor: Neighbor, template: str) -> LabelledRow:
        """The row of a neighbor that assists."""
        end = neighbor.end(self.protocol)
        if end is None:
            told = f"neighbor {neighbor.prompt!r} has no known subject and cannot assist"
            raise InputError(f"{self.where}: {told}")
        always = replace(self, spaced=True)  # whatever the algorithm puts before target_new
        return always.at_subject(neighbor.prompt, end, template, neighbor.object)

    def kl(self, subject: str) -> LabelledRow:
        """The row of the KL term, up to the subject's last token, without labels."""
        essence = f"{subject} is a"
        ids = self.wording.encode(essence)
        position = self.position(ids, essence, len(subject))
        return LabelledRow(tuple(ids[: position + 1]), (), position)

    def position(self, ids: Sequence[int], text: str, end: int) -> int:
        """Index in `ids` of the last token of a subject that ends at character `end` of `text`."""
        published = (self.subject_end or PROTOCOLS[self.protocol].subject_end) == "published"
        position_of = self.wording.published_position if published else self.wording.position
        return position_of(ids, text, end, self.where)


def _weighted(
    rewriting: Sequence[LabelledRow], neighbors: Sequence[LabelledRow], protocol: str
) -> tuple[tuple[WeightedRow, ...], tuple[WeightedRow, ...]]:
    """Row weights of the two protocols (design, sections 4 and 5, neighbor loss)."""
    tokens = len(rewriting[0].labels)
    if not PROTOCOLS[protocol].own_means:  # one mean over all rows, each divided by the tokens of target_new
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

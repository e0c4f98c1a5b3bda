"""What can be edited with a model, told of all cases at once and before any is edited."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reedit.evaluate.alignment import Asked, misaligned
from reedit.evaluate.conflicts import contradictions, equal_keys, first_tokens, named, repeated_subjects
from reedit.models.folder import checked_config
from reedit.models.tokens import Wording
from reedit.prepare.facts import Fact
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import FilterRows, Unfit
from reedit.prepare.trials import behind_prefix


@dataclass(frozen=True)
class CaseFitness:
    """Judges cases by the tokens of a model and by what the runs of an entry ask (splits.Fitness)."""

    wording: Wording
    settings: SplitSettings
    longest: int | None = None  # tokens that the model reads

    def unfit(self, facts: Sequence[Fact], filtered: Mapping[int, FilterRows]) -> list[Unfit]:
        """The facts that cannot be edited beside the others, in order, each with its first reason."""
        settings = self.settings
        asked = Asked(
            settings.protocols, settings.assisting, settings.eligible, settings.subject_end, self.longest
        )
        asked_as = [self._asked_as(fact) for fact in facts]
        found = {one.case_id: one for one in misaligned(self.wording, asked_as, filtered, asked)}
        fitting = [fact for fact in asked_as if fact.case_id not in found]
        conflicts = contradictions(fitting)
        if settings.distinct_keys:
            conflicts += equal_keys(self.wording, fitting)
        found = {one.case_id: one for one in conflicts} | found
        return [found[fact.case_id] for fact in facts if fact.case_id in found]

    def warnings(self, facts: Sequence[Fact]) -> list[str]:
        """What should be known of the facts of one trial before they are edited."""
        lines = repeated_subjects(facts) if self.settings.one_by_one else []
        if (first := self.first_tokens(facts)) and self.settings.first_token == "bare":
            lines.append(
                f"{named(first)}: the subject is the first token of all, whose key other"
                " subjects share: an edit there changes what is said of them, too (first_token: prefixed puts"
                " such cases behind a prefix)"
            )
        return lines

    def first_tokens(self, facts: Sequence[Fact]) -> list[int]:
        """The cases whose subject is the first token of all."""
        return first_tokens(self.wording, facts)

    def _asked_as(self, fact: Fact) -> Fact:
        """A fact as it will be edited."""
        prefixed = self.settings.first_token == "prefixed" and first_tokens(self.wording, [fact])
        return behind_prefix(fact) if prefixed else fact


def longest_text(folder: Path) -> int | None:
    """The tokens that a model in a folder reads at most; None where its configuration says none."""
    return getattr(checked_config(folder).get_text_config(), "max_position_embeddings", None)

"""All that determines a split beside its input files, as the rule hands it to the job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """The settings of sample_split. A new one has a default: finished jobs stay so (jobs/params.py)."""

    edits: int | str  # of each trial, or all
    trials: int = 1
    eligible: bool = False  # only cases that pass the neighbor filter
    assisting: Sequence[Sequence[Any]] = field(default_factory=list)  # [count, choice] of each
    misaligned: str = "error"
    apart: float | None = None  # the share of cases that are left to tuning (prepare/apart.py)
    protocols: Sequence[str]
    subject_end: str | None = None  # as of edit/job/settings.py
    wording: Mapping[str, Any] = field(default_factory=dict)  # separator, chat: see models/tokens.py
    distinct_keys: bool = False  # of cases that are edited together
    one_by_one: bool = False  # whether a method edits so
    first_token: str = "bare"  # or prefixed: a subject that is the first token of all
    seed: int

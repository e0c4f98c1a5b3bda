"""All that determines what tuning finds beside its input files, as the rule hands it to the job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

FOUND = "found"  # the role of what tuning ends with, among the rows of what is held out


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Settings of tune_hyperparameters. A new one has a default: finished jobs stay so (jobs/params.py)."""

    algorithm: str
    facts: int  # that are edited at once; as many are held out
    share: float  # of the dataset's cases, the only ones that tuning sees
    reach: Mapping[str, float]  # per cent by metric, before anything else counts
    maximise: Sequence[str]  # metrics
    minutes: float
    edits: int | None = None  # that are optimised in all; None: as many as the minutes allow
    windows: int = 6  # of layers that are compared
    current: Mapping[str, Any] | None = None  # hyperparameters in use until now
    corpus: Mapping[str, Any]  # how it is read
    protocol: str = "corrected"
    subject_end: str | None = None  # as of edit/job/settings.py
    repository: str
    wording: Mapping[str, Any] = field(default_factory=dict)
    dtype: str
    seed: int

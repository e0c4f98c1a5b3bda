"""All that determines a run's scores, answers or texts beside its input files, as rules hand it to jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ScoreSettings:
    """Of score_edits. A new one has a default, so that finished jobs stay so."""

    protocol: str
    eligible: bool = False  # only cases that pass the neighbor filter
    assisting: Sequence[Sequence[Any]] = field(default_factory=list)  # [count, choice] of each
    wording: Mapping[str, Any] = field(default_factory=dict)  # separator, chat: see models/tokens.py
    layers: Sequence[int]
    dtype: str
    trial: int


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """Of generate_texts. A new one has a default, so that finished jobs stay so."""

    wording: Mapping[str, Any] = field(default_factory=dict)  # as above
    layers: Sequence[int]
    dtype: str
    trial: int
    seed: int  # of what is drawn


@dataclass(frozen=True, kw_only=True)
class AnswerSettings(ScoreSettings):
    """Of generate_answers and ask_groups: as the scores', and how the model is let speak (speech.py)."""

    chat: bool  # through the tokenizer's chat template, where it has one
    tokens: int  # at most
    judge: str | None = None  # what judges in place of the aliases: a model, or plugin:NAME
    judge_dtype: str = "float32"
    judge_package: str | None = None  # of a plugin, with its version

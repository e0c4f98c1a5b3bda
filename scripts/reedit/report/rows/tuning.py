"""What tuning tried, part by part, and what it found on facts held out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reedit.storage import parquet
from reedit.tune.settings import FOUND


@dataclass(frozen=True)
class Tuned:
    """The rows of the schema ``tuning``, and what made them."""

    rows: Sequence[Mapping[str, Any]]
    made_by: Mapping[str, Any]

    def of(self, part: str) -> list[Mapping[str, Any]]:
        """The attempts of a part, in order."""
        return [row for row in self.rows if row["part"] == part]

    @property
    def found(self) -> Mapping[str, Any]:
        """What was found, as it did on facts held out."""
        return next(row for row in self.of("held out") if row["role"] == FOUND)


def read_tuning(path: Path | str) -> Tuned:
    """Of a Parquet file; InputError where it is none."""
    return Tuned(parquet.read(path, "tuning"), parquet.read_provenance(path))


def values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of an attempt, rounded to what can be told apart."""
    said = json.loads(row["hyperparameters"])
    return {key: float(f"{value:.3g}") if isinstance(value, float) else value for key, value in said.items()}

"""Under which of the paper's names its models, datasets and methods run here."""

from collections.abc import Sequence
from typing import get_args

from reedit.settings.definitions import Config, ReportedModel
from reedit.settings.runs import Entry

REPORTED_MODELS = set(get_args(ReportedModel))


def reported_names(config: Config, entries: Sequence[Entry]) -> dict[str, dict[str, str]]:
    """By section, what each definition that runs is called in the paper: `reported_as`, else its own name."""
    used = {
        "models": [entry.model for entry in entries],
        "datasets": [entry.dataset for entry in entries],
        "methods": [method.name for entry in entries for method in entry.methods],
    }
    return {
        section: {name: getattr(defined[name], "reported_as", None) or name for name in names}
        for section, names in used.items()
        for defined in [getattr(config, section)]
    }

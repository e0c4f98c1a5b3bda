"""The experiment that a configuration and overlays of it give, as the command line names them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.settings.experiment import Experiment
from reedit.storage.yaml_files import read_mapping


def overlaid(config: Any, overlay: Any) -> Any:
    """`overlay` over `config`: mappings are merged key by key, as Snakemake merges configuration files."""
    if not isinstance(overlay, Mapping):
        return overlay
    below = config if isinstance(config, Mapping) else {}
    return {**below, **{key: overlaid(below.get(key), value) for key, value in overlay.items()}}


def read_configuration(paths: Sequence[str | Path]) -> Any:
    """A configuration file with its overlays, not checked yet."""
    config: Any = {}
    for path in paths:
        config = overlaid(config, read_mapping(Path(path), "settings"))
    return config


def read_experiment(paths: Sequence[str | Path], house: Path) -> Experiment:
    """The experiment of a configuration file and its overlays; `house` is the workflow's own folder."""
    return Experiment(read_configuration(paths), house)

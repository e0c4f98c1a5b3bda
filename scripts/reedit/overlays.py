"""The experiment that a configuration and overlays of it give, as the command line names them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from reedit.errors import InputError
from reedit.experiment import Experiment

SCHEMA = "rules/schemas/config.schema.yaml"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError if there is none."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error


def overlaid(config: Any, overlay: Any) -> Any:
    """`overlay` over `config`: mappings are merged key by key, as Snakemake merges configuration files."""
    if not isinstance(overlay, Mapping):
        return overlay
    below = config if isinstance(config, Mapping) else {}
    return {**below, **{key: overlaid(below.get(key), value) for key, value in overlay.items()}}


def read_experiment(paths: Sequence[str | Path], house: Path) -> Experiment:
    """The experiment of a configuration file and its overlays, checked against the schema in `house`."""
    config: Any = {}
    for path in paths:
        config = overlaid(config, read_yaml(Path(path)) or {})
    return Experiment(config, read_yaml(house / SCHEMA), house)

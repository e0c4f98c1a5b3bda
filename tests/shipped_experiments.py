"""The experiments that ship, with whatever is laid over them."""

from typing import Any

from workflow import REPOSITORY

from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid, read_configuration


def experiment(*overlays: Any) -> Experiment:
    """config.yaml with files of experiments/ and overlays laid over it."""
    config = read_configuration([REPOSITORY / "config.yaml"])
    for overlay in overlays:
        given = (
            read_configuration([REPOSITORY / f"experiments/{overlay}.yaml"])
            if isinstance(overlay, str)
            else overlay
        )
        config = overlaid(config, given)
    return Experiment(config, REPOSITORY)

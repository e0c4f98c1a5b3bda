"""Find the layers and hyperparameters of an algorithm on a model, within a budget."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.forced import forget_if_forced
from reedit.jobs.job import job
from reedit.tune.job import tune_hyperparameters
from reedit.tune.settings import TuneSettings

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    taken = [Path(split) for split in snakemake.input.taken]
    names = ("model", "facts", "prefixes", "source")
    paths = {name: Path(snakemake.input[name]) for name in names}
    paths["rows"] = Path(snakemake.output[0])
    state = Path(snakemake.params.state["folder"])
    forget_if_forced(snakemake.rule, snakemake.output, state)
    settings = TuneSettings(**snakemake.params.settings)
    tune_hyperparameters(paths, taken, state, settings, snakemake.params.code)

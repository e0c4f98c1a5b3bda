"""Collect the second moments of all edited layers in one pass."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.forced import forget_if_forced
from reedit.jobs.job import job
from reedit.statistics.job import collect_layers

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    paths, params = {name: Path(path) for name, path in snakemake.input.items()}, snakemake.params
    paths |= {"moments": Path(snakemake.output[0]), "finished": Path(params.finished)}
    forget_if_forced(snakemake.rule, snakemake.output, paths["finished"], params.state["folder"])
    collect_layers(paths, params.settings, params.state, params.code)

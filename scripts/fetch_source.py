"""Fetch one source and verify it."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.job import job
from reedit.sources import fetch

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings = snakemake.params.settings
    fetch(snakemake.wildcards.source, settings["source"], Path(snakemake.output[0]), Path(settings["base"]))

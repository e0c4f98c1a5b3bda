"""Fetch one source and verify it."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.fetch.sources import fetch
from reedit.jobs.job import job
from reedit.storage.checksums import write_sums

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    source = dict(snakemake.params.settings)
    if "path" in source:
        source["path"] = snakemake.input[0]  # as found: from the working directory, or beside the Snakefile
    fetch(snakemake.wildcards.source, source, Path(snakemake.output[0]))
    write_sums(Path(snakemake.output[0]))

"""Find the eigenvectors of all second moments of a model and corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.statistics.spectra import decompose_moments

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    moments, folder, finished = snakemake.input[0], snakemake.output[0], snakemake.params.finished
    decompose_moments(Path(moments), Path(folder), Path(finished), snakemake.params.code["code"])

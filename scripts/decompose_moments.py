"""Find the eigenvectors of all second moments of a model and corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.statistics.spectra import decompose_moments
from reedit.storage.files import visible_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    moments = Path(snakemake.input[0])
    layers = sorted(int(file.stem) for file in visible_files(moments))
    decompose_moments(moments, Path(snakemake.output[0]), layers)

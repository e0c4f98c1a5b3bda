"""Find the eigenvectors of all second moments of a model and corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.files import visible_files
from reedit.job import job
from reedit.spectra import decompose_moments

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    moments = Path(snakemake.input[0])
    layers = sorted(int(file.stem) for file in visible_files(moments))
    decompose_moments(moments, Path(snakemake.output[0]), layers)

"""Find the eigenvectors of all second moments of a model and corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from reedit.files import visible_files
from reedit.job import job
from reedit.moments import read_moment
from reedit.progress import progress
from reedit.spectra import decomposed, write_spectrum

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    files = visible_files(Path(snakemake.input[0]))
    report = progress("second moments decomposed", len(files))
    for done, path in enumerate(files, start=1):
        moment, metadata = read_moment(path)
        write_spectrum(decomposed(moment.to(device)), Path(snakemake.output[0]) / path.name, metadata)
        report(done)

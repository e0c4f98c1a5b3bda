"""Find the eigenvectors of all second moments of a model and corpus."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.forced import forget_if_forced
from reedit.jobs.job import job
from reedit.statistics.finished_layers import leave_layers, take_layers
from reedit.statistics.spectra import decompose_moments
from reedit.storage.files import file_sha256, visible_files
from reedit.storage.provenance import digest, provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    moments, folder = Path(snakemake.input[0]), Path(snakemake.output[0])
    finished, code = Path(snakemake.params.finished), snakemake.params.code
    forget_if_forced(snakemake.rule, snakemake.output, finished)
    files = {int(file.stem): file for file in visible_files(moments)}
    marks = {layer: digest(provenance(code, {"of": file_sha256(files[layer])})) for layer in sorted(files)}
    decompose_moments(moments, folder, take_layers(finished, marks, folder))
    leave_layers(finished, marks, folder)

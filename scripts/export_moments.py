"""Write second moments as the .npz files that ROME, MEMIT and EasyEdit read."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.errors import InputError
from reedit.jobs.job import job
from reedit.models.layouts import layout_of
from reedit.statistics.moments import read_moment
from reedit.statistics.npz_statistics import Statistics, file_name, write_statistics
from reedit.storage.files import visible_files

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    layout = layout_of(Path(snakemake.input.model))
    for path in visible_files(Path(snakemake.input.moments)):
        moment, metadata = read_moment(path)
        if "samples" not in metadata:
            raise InputError(f"{path}: no `samples` in its metadata, expected by the published readers")
        samples = int(metadata["samples"])
        target = Path(snakemake.output[0]) / file_name(layout.module_name(int(path.stem)), samples)
        write_statistics(Statistics(moment, int(metadata["count"]), samples), target)
        log.info("%s: %s tokens", target, metadata["count"])

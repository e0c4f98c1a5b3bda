"""Edit the cases of one trial, iterated: the paper's experiment for one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.settings import EditSettings
from reedit.edit.job.sharing import share_edit_run
from reedit.jobs.forced import forget_if_forced
from reedit.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    given = [*snakemake.input.items(), *snakemake.output.items(), *snakemake.params.state.items()]
    paths = {name: Path(path) for name, path in given}
    settings, state = EditSettings(**snakemake.params.settings, **snakemake.params.code), paths.pop("folder")
    if forget_if_forced(snakemake.rule, snakemake.output, paths["finished"], state):
        paths.pop("unedited", None)  # what other jobs have found
    if (processes := snakemake.resources.processes) > 1:
        share_edit_run(processes, Path(snakemake.log[0]), paths, state, settings)
    else:
        edit_run(paths, state, settings)

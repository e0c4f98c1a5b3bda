"""Edit the cases of one trial, iterated: the paper's experiment for one method."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.settings import EditSettings
from reedit.edit.job.sharing import share_edit_run
from reedit.jobs.job import job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    paths = {name: Path(path) for name, path in [*snakemake.input.items(), *snakemake.output.items()]}
    settings = EditSettings(**snakemake.params.settings, **snakemake.params.code)
    state = Path(snakemake.params.state["folder"])
    states = state.parents[3]
    paths |= {
        "unedited": states / "targets",
        "finished": states.parent / "finished" / state.relative_to(states),
    }
    if (processes := snakemake.resources.processes) > 1:
        share_edit_run(processes, Path(snakemake.log[0]), paths, state, settings)
    else:
        edit_run(paths, state, settings)

"""Write one run's edited model as an ordinary transformers folder."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.use.export import export_model
from reedit.use.run_folder import RunFolder

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    base, run = Path(snakemake.input.model), RunFolder(Path(snakemake.input.weights).parent)
    k = run.chosen(snakemake.params.settings["k"])
    model = run.load(base, k, device="cpu")
    export_model(model, base, Path(snakemake.output[0]), run.description(k))
    log.info("%s: k = %d", snakemake.output[0], k)

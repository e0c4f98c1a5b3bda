"""Read a dataset in its own format; write its facts, what else is asked of them, what models go on from."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.prepare.datasets import load_dataset
from reedit.prepare.facts import write_facts, write_generation_prompts
from reedit.prepare.groups import write_groups
from reedit.storage.files import payload
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    settings = snakemake.params.settings
    paths = [payload(Path(folder)) for folder in snakemake.input]
    dataset = load_dataset(settings["format"], paths, settings.get("malformed", "error"))
    for reason in dataset.malformed:
        log.info("left out, not readable: %s", reason)
    told = "%d facts, %d prompts in groups; %d neighbors dropped, their subject unknown"
    log.info(told, len(dataset.facts), len(dataset.items), dataset.dropped)
    known = {"fixed_roles": dataset.fixed_roles, "dropped_neighbors": dataset.dropped}
    known |= {"cases": dataset.sizes, "malformed": list(dataset.malformed)}
    made_by = provenance(settings, snakemake.params.code, known)
    write_facts(dataset.facts, Path(snakemake.output.facts), made_by, dataset.together)
    write_groups(dataset.items, Path(snakemake.output.groups), made_by)
    write_generation_prompts(dataset.generation_prompts, Path(snakemake.output.prompts), made_by)

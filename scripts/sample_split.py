"""Sample the mutually exclusive cases of each trial."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit import parquet
from reedit.facts import read_facts
from reedit.job import job
from reedit.neighbors import by_case, is_eligible
from reedit.provenance import provenance
from reedit.splits import sample_split

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    settings = snakemake.params.settings
    candidates = [fact.case_id for fact in read_facts(Path(snakemake.input.facts))]
    if settings["eligible"]:
        cases = by_case(parquet.read(snakemake.input.neighbors, "neighbors"))
        every = len(candidates)
        candidates = [c for c in candidates if is_eligible(cases.get(c, []), settings["assisting"])]
        log.info("%d of %d cases eligible", len(candidates), every)
    rows = sample_split(candidates, settings["edits"], settings["trials"], settings["seed"])
    parquet.write(
        rows,
        snakemake.output[0],
        "split",
        provenance(settings, snakemake.params.code, {"candidates": len(candidates)}),
    )

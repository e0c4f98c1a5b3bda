"""How the cases that pass the neighbor filter here differ from those of the published lists."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.jobs.job import job
from reedit.prepare.facts import read_facts
from reedit.report.tables.eligible import eligibility, eligibility_csv, eligibility_md, eligibility_tex
from reedit.report.tables.face import face, write_table
from reedit.storage import parquet

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    inputs, outputs, settings = snakemake.input, snakemake.output, snakemake.params.settings
    rows = [
        eligibility(
            model, read_facts(Path(pool)), parquet.read(filtered, "neighbors"), read_facts(Path(published))
        )
        for model, pool, filtered, published in zip(
            settings["models"], inputs.pool, inputs.filtered, inputs.published, strict=True
        )
    ]
    tex = eligibility_tex(rows, inputs.template, settings["labels"])
    made_by = [parquet.read_provenance(path) for path in inputs.filtered]
    write_table(outputs, tex, eligibility_csv(rows), eligibility_md(rows, settings["labels"]), face(made_by))

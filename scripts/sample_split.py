"""Sample the mutually exclusive cases of each trial."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from reedit.evaluate.fitness import CaseFitness, longest_text
from reedit.jobs.job import job
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.facts import read_facts, read_together
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import Pool, make_split
from reedit.storage import parquet
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]):
    settings, inputs = SplitSettings(**snakemake.params.settings), snakemake.input
    wording = Wording.of(load_tokenizer(inputs.model), **settings.wording)
    sizes = parquet.read_provenance(inputs.facts)["cases"]
    rows, counts = make_split(
        Pool(read_facts(Path(inputs.facts)), sizes, read_together(inputs.facts)),
        parquet.read(inputs.neighbors, "neighbors") if inputs.neighbors else [],
        CaseFitness(wording, settings, longest_text(Path(inputs.model))),
        settings,
    )
    made_by = provenance(asdict(settings), snakemake.params.code, counts)
    parquet.write(rows, snakemake.output[0], "split", made_by)

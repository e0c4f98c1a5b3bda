"""Sample the mutually exclusive cases of each trial."""

from pathlib import Path
from typing import TYPE_CHECKING

from reedit.edit.edits import misalignment
from reedit.jobs.job import job
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.facts import by_file, read_facts
from reedit.prepare.roles import by_case, is_eligible
from reedit.prepare.splits import sample_split
from reedit.storage import parquet
from reedit.storage.provenance import provenance

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    settings = snakemake.params.settings
    facts = read_facts(Path(snakemake.input.facts))
    listed = by_file(facts, parquet.read_provenance(snakemake.input.facts)["cases"])
    counts = {"cases": len(facts)}
    if settings["misaligned"] == "drop":
        tokenizer = load_tokenizer(snakemake.input.model)
        reasons = {fact.case_id: misalignment(tokenizer, fact, settings["protocol"]) for fact in facts}
        log.info("dropped: %s", "; ".join(filter(None, reasons.values())) or "no case")
        facts = [fact for fact in facts if not reasons[fact.case_id]]
        counts["aligned"] = len(facts)
    if settings["eligible"]:
        cases = by_case(parquet.read(snakemake.input.neighbors, "neighbors"))
        facts = [fact for fact in facts if is_eligible(cases.get(fact.case_id, []), settings["assisting"])]
        counts["eligible"] = len(facts)
    log.info("candidates: %s", counts)
    chosen = {fact.case_id for fact in facts}
    files = [[case_id for case_id in file if case_id in chosen] for file in listed]
    rows = sample_split(files, settings["edits"], settings["trials"], settings["seed"])
    made_by = provenance(settings, snakemake.params.code, counts)
    parquet.write(rows, snakemake.output[0], "split", made_by)

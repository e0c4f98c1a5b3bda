"""All runs, cases and prompts as one page to explore, which needs neither a server nor a network."""

from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs

from reedit.jobs.job import job
from reedit.report.page.data import Results, parts
from reedit.report.page.further import further
from reedit.report.page.html import packed, render_page
from reedit.report.rows.lines import key_of
from reedit.report.tables.notes import face
from reedit.storage import parquet
from reedit.storage.files import write_text

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

with job(snakemake.log[0]) as log:
    inputs, settings = snakemake.input, snakemake.params.settings
    keys = [key_of(run) for run in settings["runs"]]
    made_by = parquet.read_provenance(inputs.runs)["runs"]
    results = Results(
        parquet.read(inputs.runs, "runs"),
        parquet.read_table(inputs.cases, "cases"),
        dict(zip(keys, inputs.scores, strict=True)),
        dict(zip(settings["datasets"], inputs.facts, strict=True)),
        made_by,
        *further(inputs, settings),
    )
    title = " ".join(filter(None, [face(made_by.values()), settings["title"]]))
    library = get_plotlyjs()
    texts = {name: packed(part) for name, part in parts(results, settings["labels"])}
    texts |= {"plotly": packed(library)}
    page = render_page(inputs.template, {"title": title}, texts, library)
    write_text(snakemake.output.html, page)
    log.info("%d runs, %.1f MB", len(keys), len(page) / 1e6)

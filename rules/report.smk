TEMPLATES = Path(os.path.relpath(HOUSE / "reports/templates"))  # a moved checkout reruns nothing
BESIDE = [TEMPLATES / "notes.tex.j2", TEMPLATES / "captions.yaml"]
RESOURCES = Path(os.path.relpath(HOUSE / "resources"))
REPORT = experiment.asked.report
STYLE = {"labels": REPORT.labels, "intervals": REPORT.intervals}
RUNS = list(experiment.runs.values())
IDENTITIES = [experiment.identity(run) for run in RUNS]
MODELS = list(dict.fromkeys(run.entry.model for run in RUNS))
DATASETS = list(dict.fromkeys(run.entry.dataset for run in RUNS))
TABLES, COMPARISONS, FIGURES = contents(experiment)
SPLITS = {run.path: split_of(run) for run in beside_sequential(experiment)}
ELIGIBLE = experiment.compared_filters  # models whose filter is compared with a published list of cases
# in the order that they need each other
PAGE = "html.j2 css data.js table.js curves.js measures.js cases.js page.js".split()
# what each summary of all runs is made of
OF_RUNS, OF_CASES = "results/summary/runs.parquet", "results/summary/cases.parquet"
SCORES = run_files("results/scores/{run}.parquet")
ITERATIONS = run_files("results/edits/{run}/iterations.parquet")
TARGETS = run_files("results/edits/{run}/targets.parquet")
COLLAPSE = run_files("results/collapse/{run}.parquet")
TEXTS = run_files("results/texts/{run}.parquet")  # on request, as the next
GROUPED = experiment.grouped_runs  # whose datasets have groups of prompts
GENERATIONS = run_files("results/generations/{run}.parquet")
FACTS = [f"results/facts/{dataset}.parquet" for dataset in DATASETS]
SUMMARY_FILES = {
    "cases": dict(runs=OF_RUNS, scores=SCORES, targets=TARGETS),
    "example": dict(runs=OF_RUNS, cases=OF_CASES, facts=FACTS),
    "differences": dict(runs=OF_RUNS, cases=OF_CASES),
    "generation": dict(runs=OF_RUNS, scores=SCORES, generations=GENERATIONS),
    "differences_generated": dict(runs=OF_RUNS, generations=GENERATIONS),
    "portability": dict(
        runs=OF_RUNS,
        portability=[f"results/portability/{run.path}.parquet" for run in GROUPED],
    ),
    "fluency": dict(runs=OF_RUNS, texts=TEXTS),
    "norms": dict(
        runs=OF_RUNS, norms=run_files("results/norms/{run}.parquet"), iterations=ITERATIONS, targets=TARGETS
    ),
    "along": dict(
        runs=OF_RUNS,
        scores=SCORES,
        collapse=COLLAPSE,
        texts=TEXTS if REPORT.fluency else [],
        generations=GENERATIONS if REPORT.generation else [],
    ),
    "comparison": dict(
        tables=expand("results/summary/table{n}.parquet", n=paper.TABLES),
        reported=local(RESOURCES / "reported.csv"),
        slips=local(RESOURCES / "reported-slips.yaml"),
    ),
    "eligible": dict(
        pool=[f"results/facts/{one['pool']}.parquet" for one in ELIGIBLE],
        filtered=[f"results/neighbors/{one['model']}/{one['pool']}.parquet" for one in ELIGIBLE],
        published=[f"results/facts/{one['published']}.parquet" for one in ELIGIBLE],
    ),
    "downstream": dict(
        edited=run_files("results/downstream/{run}.parquet"),
        unedited=[f"results/downstream/{model}/unedited.parquet" for model in MODELS],
    ),
}
SUMMARY_SETTINGS = {
    "cases": {"runs": IDENTITIES},
    "example": {"datasets": DATASETS},
    "differences": {"seed": config["seed"], "against": experiment.against()},
    "generation": {"runs": IDENTITIES, "seed": config["seed"]},
    "differences_generated": {
        "runs": IDENTITIES,
        "seed": config["seed"],
        "against": experiment.against(),
    },
    "portability": {
        "runs": [experiment.identity(run) for run in GROUPED],
        "seed": config["seed"],
    },
    "fluency": {"runs": IDENTITIES, "seed": config["seed"]},
    "norms": {"runs": IDENTITIES},
    "along": {"runs": IDENTITIES, "seed": config["seed"]},
    "comparison": {"reported_as": experiment.reported_as()},
    "eligible": {"eligible": ELIGIBLE},
    "downstream": {"runs": IDENTITIES},
}
SUMMARIES = [name for name in SUMMARY_FILES if name in ["cases", "example", *TABLES, *COMPARISONS]]


rule tables:
    input:
        expand("results/tables/{table}.{ext}", table=[*TABLES, *COMPARISONS], ext=["tex", "csv", "md"]),
        expand("results/figures/{figure}.{ext}", figure=FIGURES, ext=["pdf", "png"]),
    localrule: True


rule summarise_runs:
    input:
        scores=SCORES,
        collapse=COLLAPSE,
        iterations=ITERATIONS,
    output:
        runs=OF_RUNS,
        tables=expand("results/summary/table{n}.parquet", n=paper.NUMBERS),
    log:
        "results/logs/summarise_runs.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={"runs": IDENTITIES, "seed": config["seed"]},
        code=code("summarise_runs"),
    script:
        "../scripts/summarise_runs.py"


rule summarise_results:
    input:
        unpack(lambda wildcards: SUMMARY_FILES[wildcards.summary]),
    output:
        "results/summary/{summary}.parquet",
    log:
        "results/logs/summarise_results/{summary}.log",
    wildcard_constraints:
        summary=any_of(SUMMARY_FILES),
    conda:
        "../envs/report.yaml"
    params:
        settings=lambda wildcards: SUMMARY_SETTINGS[wildcards.summary],
        code=code("summarise_results"),
    script:
        "../scripts/summarise_results.py"


rule render_table:
    input:
        rows=lambda wildcards: f"results/summary/{catalog.TABLES[wildcards.table].made_of}.parquet",
        template=local([TEMPLATES / "table.tex.j2", *BESIDE]),
    output:
        tex="results/tables/{table}.tex",
        csv=report(
            "results/tables/{table}.csv",
            caption="../reports/captions/table.rst",
            category=lambda wildcards: (
                "Comparison with the paper" if wildcards.table.startswith("comparison") else "Tables"
            ),
            labels={"table": "{table}"},
        ),
        md="results/tables/{table}.md",
    log:
        "results/logs/render_table/{table}.log",
    wildcard_constraints:
        table=any_of(catalog.TABLES),
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings=STYLE,
        headline=lambda wildcards: catalog.TABLES[wildcards.table].headline,  # of the caption
        code=code("render_table"),
    script:
        "../scripts/render_table.py"


rule draw_figure:
    input:
        runs=OF_RUNS,
        cases=OF_CASES,
        example="results/summary/example.parquet",
        differences="results/summary/differences.parquet",
        splits=lambda wildcards: sorted(set(SPLITS.values())) if wildcards.figure == "retention" else [],
        norms="results/summary/norms.parquet" if "norms" in TABLES else [],
        along="results/summary/along.parquet" if "along" in TABLES else [],
    output:
        pdf="results/figures/{figure}.pdf",
        png=report(
            "results/figures/{figure}.png",
            caption="../reports/captions/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "results/logs/draw_figure/{figure}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings={"labels": STYLE["labels"], "seed": config["seed"], "splits": SPLITS},
        code=code("draw_figure"),
    script:
        "../scripts/draw_figure.py"


# On request, as what it shows.
rule render_tracing:
    input:
        "results/tracing/{model}/{dataset}.parquet",
    output:
        md="results/tracing/{model}/{dataset}.md",
        pdf="results/tracing/{model}/{dataset}.pdf",
        png="results/tracing/{model}/{dataset}.png",
    log:
        "results/logs/render_tracing/{model}/{dataset}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings=lambda wildcards: {"title": f"{wildcards.model} / {wildcards.dataset}"},
        code=code("render_tracing"),
    script:
        "../scripts/render_tracing.py"


rule compile_pdf:
    input:
        tables=expand("results/tables/{table}.tex", table=TABLES),
        comparisons=expand("results/tables/{table}.tex", table=COMPARISONS),
        figures=expand("results/figures/{figure}.pdf", figure=FIGURES),
        template=local([TEMPLATES / "document.tex.j2", *BESIDE]),
    output:
        pdf=report(
            "reports/tables.pdf",
            caption="../reports/captions/tables_pdf.rst",
            category="Document",
        ),
    log:
        "results/logs/compile_pdf.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        code=code("compile_pdf"),
    script:
        "../scripts/compile_pdf.py"


rule render_page:
    input:
        runs=OF_RUNS,
        cases=OF_CASES,
        scores=SCORES,
        facts=FACTS,
        groups=[
            f"results/groups/{dataset}.parquet"
            for dataset in dict.fromkeys(r.entry.dataset for r in GROUPED)
        ],
        portability=[f"results/portability/{run.path}.parquet" for run in GROUPED],
        generations=GENERATIONS if REPORT.generation else [],
        norms="results/summary/norms.parquet" if REPORT.norms else [],
        template=local([TEMPLATES / f"explore.{part}" for part in PAGE]),
    output:
        html=report(
            "reports/explore.html",
            caption="../reports/captions/explore.rst",
            category="Document",
        ),
    log:
        "results/logs/render_page.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings={
            "runs": IDENTITIES,
            "grouped": [experiment.identity(run) for run in GROUPED],
            "datasets": DATASETS,
            "labels": STYLE["labels"],
            "title": "Edits, case by case",
        },
        code=code("render_page"),
    script:
        "../scripts/render_page.py"


# Every Parquet table: one that was deleted comes back, although Snakemake needs none whose followers are there.
rule measurements:
    input:
        [f"results/facts/{dataset}.parquet" for dataset in experiment.datasets],
        [f"results/generation_prompts/{dataset}.parquet" for dataset in DATASETS if REPORT.fluency],
        [f"results/groups/{run.entry.dataset}.parquet" for run in GROUPED],
        [
            f"results/neighbors/{run.entry.model}/{run.entry.dataset}.parquet"
            for run in RUNS
            if run.entry.filtered
        ],
        [f"results/splits/{run.entry.model}/{run.entry.dataset}/{run.entry.sample}.parquet" for run in RUNS],
        [f"results/prefixes/{run.prefixes}.parquet" for run in RUNS],
        rules.summarise_runs.input,
        rules.summarise_runs.output,
        expand("results/summary/{summary}.parquet", summary=SUMMARIES),
        [list(SUMMARY_FILES[summary].values()) for summary in SUMMARIES],
    localrule: True

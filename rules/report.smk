TEMPLATES = Path(os.path.relpath(HOUSE / "reports/templates"))  # a moved checkout reruns nothing
SETTINGS = config.get("report", {})
REPORT = {"labels": SETTINGS.get("labels", {}), "intervals": SETTINGS.get("intervals", False)}
RESOURCES = Path(os.path.relpath(HOUSE / "resources"))
COMPARED = list(paper.TABLES)  # Table 5 tells of machines, not of results
# comparison.tex sums up; comparison1.tex stands beside table1.tex, where a model of the paper's runs
COMPARISONS = ["", *(COMPARED if experiment.runs_a_reported_model else [])]
RUNS = list(experiment.runs.values())
DATASETS = list(dict.fromkeys(run.entry.dataset for run in RUNS))
NORMS = ["norms"] if SETTINGS.get("norms", True) else []
GENERATION = ["generation"] if SETTINGS.get("generation", False) else []
SEQUENTIAL = [run for run in RUNS if run.method.batch]
FIGURES = [
    "perplexity",
    "example",
    "underedit",
    "distribution",
    "scores",
    "tradeoff",
    *NORMS,
    *["retention"] * bool(SEQUENTIAL),
]
IN_BATCHES = [run.entry for run in SEQUENTIAL]
SPLITS = {run.path: split_of(run) for run in RUNS if run.entry in IN_BATCHES}
# in the order that they need each other
PAGE = "html.j2 css data.js table.js curves.js measures.js cases.js page.js".split()

ELIGIBLE = experiment.compared_filters  # models whose filter is compared with a published list of cases


rule tables:
    input:
        expand("results/tables/eligible.{ext}", ext=["tex", "csv", "md"] if ELIGIBLE else []),
        expand("results/tables/table{n}.{ext}", n=paper.NUMBERS, ext=["tex", "csv", "md"]),
        expand("results/tables/comparison{n}.{ext}", n=COMPARISONS, ext=["tex", "csv", "md"]),
        expand(
            "results/tables/{name}.{ext}",
            name=["differences", *GENERATION, *NORMS],
            ext=["tex", "csv", "md"],
        ),
        expand("results/tables/downstream.{ext}", ext=["tex", "csv", "md"] if "downstream" in config else []),
        expand("results/figures/{figure}.{ext}", figure=FIGURES, ext=["pdf", "png"]),
    localrule: True


rule summarise_runs:
    input:
        scores=run_files("results/scores/{run}.parquet"),
        collapse=run_files("results/collapse/{run}.parquet"),
        iterations=run_files("results/edits/{run}/iterations.parquet"),
    output:
        runs="results/summary/runs.parquet",
        tables=expand("results/summary/table{n}.parquet", n=paper.NUMBERS),
    log:
        "results/logs/summarise_runs.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={
            "runs": [experiment.identity(run) for run in experiment.runs.values()],
            "seed": config["seed"],
        },
        code=code("summarise_runs"),
    script:
        "../scripts/summarise_runs.py"


rule summarise_cases:
    input:
        runs="results/summary/runs.parquet",
        scores=run_files("results/scores/{run}.parquet"),
        targets=run_files("results/edits/{run}/targets.parquet"),
        facts=[f"results/facts/{dataset}.parquet" for dataset in DATASETS],
    output:
        cases="results/summary/cases.parquet",
        example="results/summary/example.parquet",
    log:
        "results/logs/summarise_cases.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={
            "runs": [experiment.identity(run) for run in experiment.runs.values()],
            "datasets": DATASETS,
        },
        code=code("summarise_cases"),
    script:
        "../scripts/summarise_cases.py"


rule summarise_differences:
    input:
        runs="results/summary/runs.parquet",
        cases="results/summary/cases.parquet",
    output:
        differences="results/summary/differences.parquet",
    log:
        "results/logs/summarise_differences.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={"seed": config["seed"]},
        code=code("summarise_differences"),
    script:
        "../scripts/summarise_differences.py"


# On request, as what it needs.
rule summarise_generation:
    input:
        runs="results/summary/runs.parquet",
        scores=run_files("results/scores/{run}.parquet"),
        generations=run_files("results/generations/{run}.parquet"),
    output:
        generation="results/summary/generation.parquet",
    log:
        "results/logs/summarise_generation.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={
            "runs": [experiment.identity(run) for run in experiment.runs.values()],
            "seed": config["seed"],
        },
        code=code("summarise_generation"),
    script:
        "../scripts/summarise_generation.py"


rule summarise_norms:
    input:
        runs="results/summary/runs.parquet",
        norms=run_files("results/norms/{run}.parquet"),
        iterations=run_files("results/edits/{run}/iterations.parquet"),
        targets=run_files("results/edits/{run}/targets.parquet"),
    output:
        norms="results/summary/norms.parquet",
    log:
        "results/logs/summarise_norms.log",
    conda:
        "../envs/report.yaml"
    params:
        settings={
            "runs": [experiment.identity(run) for run in experiment.runs.values()],
        },
        code=code("summarise_norms"),
    script:
        "../scripts/summarise_norms.py"


rule render_table:
    input:
        table="results/summary/table{n}.parquet",
        template=local([TEMPLATES / "table{n}.tex.j2", TEMPLATES / "macros.tex.j2"]),
    output:
        tex="results/tables/table{n}.tex",
        csv=report(
            "results/tables/table{n}.csv",
            caption="../reports/captions/table.rst",
            category="Tables",
            labels={"table": "{n}"},
        ),
        md="results/tables/table{n}.md",
    log:
        "results/logs/render_table/table{n}.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings=lambda wildcards: REPORT | {"title": paper.title(wildcards.n)},
        code=code("render_table"),
    script:
        "../scripts/render_table.py"


# The tables beside the paper's: of paired differences, of generation, of norms.
rule render_summary:
    input:
        rows="results/summary/{summary}.parquet",
        template=local([TEMPLATES / "{summary}.tex.j2", TEMPLATES / "macros.tex.j2"]),
    output:
        tex="results/tables/{summary}.tex",
        csv=report(
            "results/tables/{summary}.csv",
            caption="../reports/captions/summary.rst",
            category="Tables",
            labels={"table": "{summary}"},
        ),
        md="results/tables/{summary}.md",
    log:
        "results/logs/render_summary/{summary}.log",
    wildcard_constraints:
        summary="differences|generation|norms",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings={"labels": REPORT["labels"]},
        code=code("render_summary"),
    script:
        "../scripts/render_summary.py"


rule compare_reported:
    input:
        tables=expand("results/summary/table{n}.parquet", n=COMPARED),
        reported=local(RESOURCES / "reported.csv"),
        slips=local(RESOURCES / "reported-slips.yaml"),
    output:
        comparison="results/summary/comparison.parquet",
    log:
        "results/logs/compare_reported.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings={"numbers": COMPARED, "reported_as": experiment.reported_as()},
        code=code("compare_reported"),
    script:
        "../scripts/compare_reported.py"


rule render_comparison:
    input:
        comparison="results/summary/comparison.parquet",
        template=local(
            [
                TEMPLATES / "comparison.tex.j2",
                TEMPLATES / "comparison_summary.tex.j2",
                TEMPLATES / "macros.tex.j2",
            ]
        ),
    output:
        tex="results/tables/comparison{n}.tex",
        csv=report(
            "results/tables/comparison{n}.csv",
            caption="../reports/captions/comparison.rst",
            category="Comparison with the paper",
            labels={"table": "{n}"},
        ),
        md="results/tables/comparison{n}.md",
    log:
        "results/logs/render_comparison/comparison{n}.log",
    wildcard_constraints:
        n=r"\d*",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        code=code("render_comparison"),
    script:
        "../scripts/render_comparison.py"


rule compare_eligible:
    input:
        pool=[f"results/facts/{one['pool']}.parquet" for one in ELIGIBLE],
        filtered=[f"results/neighbors/{one['model']}/{one['pool']}.parquet" for one in ELIGIBLE],
        published=[f"results/facts/{one['published']}.parquet" for one in ELIGIBLE],
        template=local([TEMPLATES / "eligible.tex.j2"]),
    output:
        tex="results/tables/eligible.tex",
        csv="results/tables/eligible.csv",
        md="results/tables/eligible.md",
    log:
        "results/logs/compare_eligible.log",
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings={"models": [one["model"] for one in ELIGIBLE], "labels": REPORT["labels"]},
        code=code("compare_eligible"),
    script:
        "../scripts/compare_eligible.py"


rule draw_figure:
    input:
        runs="results/summary/runs.parquet",
        cases="results/summary/cases.parquet",
        example="results/summary/example.parquet",
        splits=lambda wildcards: sorted(set(SPLITS.values())) if wildcards.figure == "retention" else [],
        norms=expand("results/summary/{name}.parquet", name=NORMS),
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
        settings={"labels": REPORT["labels"], "seed": config["seed"], "splits": SPLITS},
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
        tables=[
            *expand("results/tables/table{n}.tex", n=paper.NUMBERS[:2]),
            "results/tables/differences.tex",
            *expand("results/tables/{name}.tex", name=[*GENERATION, *NORMS]),
            *(["results/tables/eligible.tex"] if ELIGIBLE else []),
            *(["results/tables/downstream.tex"] if "downstream" in config else []),
            *expand("results/tables/table{n}.tex", n=paper.NUMBERS[2:]),
        ],
        comparisons=expand("results/tables/comparison{n}.tex", n=COMPARISONS),
        figures=expand("results/figures/{figure}.pdf", figure=FIGURES),
        template=local([TEMPLATES / "document.tex.j2", TEMPLATES / "macros.tex.j2"]),
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
        runs="results/summary/runs.parquet",
        cases="results/summary/cases.parquet",
        scores=run_files("results/scores/{run}.parquet"),
        facts=[f"results/facts/{dataset}.parquet" for dataset in DATASETS],
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
            "runs": [experiment.identity(run) for run in experiment.runs.values()],
            "datasets": DATASETS,
            "labels": REPORT["labels"],
            "title": "Edits, case by case",
        },
        code=code("render_page"),
    script:
        "../scripts/render_page.py"


# Every Parquet table: one that was deleted comes back, although Snakemake needs none whose followers are there.
rule measurements:
    input:
        [f"results/facts/{dataset}.parquet" for dataset in experiment.datasets],
        [
            f"results/neighbors/{run.entry.model}/{run.entry.dataset}.parquet"
            for run in RUNS
            if run.entry.filtered
        ],
        [f"results/splits/{run.entry.model}/{run.entry.dataset}/{run.entry.sample}.parquet" for run in RUNS],
        [f"results/prefixes/{run.prefixes}.parquet" for run in RUNS],
        rules.summarise_runs.input,
        rules.summarise_runs.output,
        rules.summarise_cases.input,
        rules.summarise_cases.output,
        rules.summarise_differences.output,
        rules.compare_reported.output,
        [rules.summarise_norms.input, rules.summarise_norms.output] if NORMS else [],
        [rules.summarise_generation.input, rules.summarise_generation.output] if GENERATION else [],
    localrule: True

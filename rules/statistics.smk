rule collect_moments:
    input:
        model="results/models/{model}",
        source=fetched("corpora"),
    output:
        directory("results/moments/{model}/{corpus}"),
    log:
        "results/logs/collect_moments/{model}/{corpus}.log",
    benchmark:
        "results/benchmarks/collect_moments/{model}/{corpus}.tsv"
    wildcard_constraints:
        corpus=any_of(experiment.corpora(imported=False)),
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(2),  # the sums, in double precision
        runtime=hours(12),  # what is cut off goes on
    params:
        settings=lambda wildcards: {
            **experiment.reading(wildcards.corpus),
            **experiment.tokens(wildcards.corpus),
            "layers": experiment.layers(wildcards.model, wildcards.corpus),
            "dtype": dtype_of(wildcards),
        },
        # the sums of an interrupted job, saved every so many seconds; the output folder is wiped
        state=lambda wildcards, output: {"folder": beside(output[0], "state"), "every": 600},
        finished=lambda wildcards, output: beside(output[0], "finished"),
        code=code("collect_moments"),
    script:
        "../scripts/collect_moments.py"


rule import_moments:
    input:
        model="results/models/{model}",
        source=fetched("corpora"),
        check=lambda wildcards: f"results/sources/{experiment.compared_on(wildcards.corpus).source}",
    output:
        directory("results/moments/{model}/{corpus}"),
    log:
        "results/logs/import_moments/{model}/{corpus}.log",
    benchmark:
        "results/benchmarks/import_moments/{model}/{corpus}.tsv"
    wildcard_constraints:
        corpus=any_of(experiment.corpora(imported=True)),
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(2),
    params:
        settings=lambda wildcards: {
            "check": experiment.reading(config["corpora"][wildcards.corpus]["check"]),
            "names": [wildcards.model, experiment.repository(wildcards.model)],
            "layers": experiment.layers(wildcards.model, wildcards.corpus),
            "dtype": dtype_of(wildcards),
        },
        code=code("import_moments"),
    script:
        "../scripts/import_moments.py"


# For algorithms that write in the null space of a moment; done once, whatever their threshold is.
rule decompose_moments:
    input:
        "results/moments/{model}/{corpus}",
    output:
        directory("results/spectra/{model}/{corpus}"),
    log:
        "results/logs/decompose_moments/{model}/{corpus}.log",
    benchmark:
        "results/benchmarks/decompose_moments/{model}/{corpus}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(6),  # one layer at a time in double precision, with what the solver needs
        runtime=hours(4),
    params:
        finished=lambda wildcards, output: beside(output[0], "finished"),
        code=code("decompose_moments"),
    script:
        "../scripts/decompose_moments.py"


# Not part of `all`. The folder is laid out as ROME and EasyEdit look for it: STATS_DIR=results/exports.
rule export_moments:
    input:
        model="results/models/{model}",
        moments="results/moments/{model}/{corpus}",
    output:
        directory("results/exports/{model}/{corpus}_stats"),
    log:
        "results/logs/export_moments/{model}/{corpus}.log",
    conda:
        "../envs/edit.yaml"
    params:
        code=code("export_moments"),
    script:
        "../scripts/export_moments.py"

# Not part of `all`: from a model that nobody has edited to hyperparameters, by `snakemake results/hyperparameters/M/A.yaml`.
rule tune_hyperparameters:
    input:
        model="results/models/{model}",
        facts=lambda wildcards: f"results/facts/{experiment.tuned_on(wildcards.model)[0]}.parquet",
        prefixes="results/prefixes/{model}.parquet",
        source=lambda wildcards: f"results/sources/{config['corpora'][experiment.tuned_on(wildcards.model)[1]]['source']}",
        taken=lambda wildcards: [
            f"results/splits/{wildcards.model}/{experiment.tuned_on(wildcards.model)[0]}/{sample}.parquet"
            for sample in experiment.taken(wildcards.model)
        ],
    output:
        "results/hyperparameters/{model}/{algorithm}.parquet",
    log:
        "results/logs/tune_hyperparameters/{model}/{algorithm}.log",
    benchmark:
        "results/benchmarks/tune_hyperparameters/{model}/{algorithm}.tsv"
    wildcard_constraints:
        algorithm=any_of(ALGORITHMS),
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(4),  # with the moments of many layers, in double precision
        runtime="1d",  # what is cut off goes on
    params:
        settings=lambda wildcards: plain(experiment.tune_settings(**wildcards)),
        state=lambda wildcards, output: {"folder": beside(output[0], "state")},
        code=code("tune_hyperparameters"),
    script:
        "../scripts/tune_hyperparameters.py"


# The file itself, and the page and the figure that say why.
rule render_tuning:
    input:
        "results/hyperparameters/{model}/{algorithm}.parquet",
    output:
        values="results/hyperparameters/{model}/{algorithm}.yaml",
        md="results/hyperparameters/{model}/{algorithm}.md",
        pdf="results/hyperparameters/{model}/{algorithm}.pdf",
        png="results/hyperparameters/{model}/{algorithm}.png",
    log:
        "results/logs/render_tuning/{model}/{algorithm}.log",
    wildcard_constraints:
        algorithm=any_of(ALGORITHMS),
    localrule: True
    conda:
        "../envs/report.yaml"
    params:
        settings=lambda wildcards: {
            "title": f"{wildcards.algorithm} on {wildcards.model}",
            "model": experiment.repository(wildcards.model),
        },
        code=code("render_tuning"),
    script:
        "../scripts/render_tuning.py"

rule score_edits:
    input:
        unpack(
            lambda wildcards: (
                {"neighbors": f"results/neighbors/{wildcards.model}/{wildcards.dataset}.parquet"}
                if run_of(wildcards).entry.filtered
                else {}
            )
        ),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: (
            f"results/splits/{wildcards.model}/{wildcards.dataset}/{run_of(wildcards).entry.sample}.parquet"
        ),
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        scores="results/scores/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/score_edits/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/score_edits/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(4),
    params:
        settings=lambda wildcards: experiment.score_settings(run_of(wildcards)),
        code=code("score_edits"),
    script:
        "../scripts/score_edits.py"


rule check_collapse:
    input:
        model="results/models/{model}",
        texts=f"results/sources/{config['collapse']['source']}",
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        collapse="results/collapse/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/check_collapse/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/check_collapse/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(1),
    params:
        settings=lambda wildcards: {
            "layers": experiment.hyperparameters(run_of(wildcards))["layers"],
            "dtype": dtype_of(wildcards),
            "texts": config["collapse"]["source"],
        },
        code=code("check_collapse"),
    script:
        "../scripts/check_collapse.py"

rule prepare_model:
    input:
        source=fetched("models"),
    output:
        directory("results/models/{model}"),
    log:
        "results/logs/prepare_model/{model}.log",
    benchmark:
        "results/benchmarks/prepare_model/{model}.tsv"
    conda:
        "../envs/edit.yaml"
    resources:
        mem_mb=memory(3),  # read in half precision, written in full
        runtime=hours(2),
    params:
        settings=lambda wildcards: {"source": config["sources"][config["models"][wildcards.model]["source"]]},
        code=code("prepare_model"),
    script:
        "../scripts/prepare_model.py"


rule normalise_facts:
    input:
        source=fetched_facts,
    output:
        facts="results/facts/{dataset}.parquet",
        groups="results/groups/{dataset}.parquet",
        prompts="results/generation_prompts/{dataset}.parquet",
    log:
        "results/logs/normalise_facts/{dataset}.log",
    conda:
        "../envs/edit.yaml"
    params:
        settings=lambda wildcards: experiment.facts_settings(wildcards.dataset),
        code=code("normalise_facts"),
    script:
        "../scripts/normalise_facts.py"


rule filter_neighbors:
    input:
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
    output:
        "results/neighbors/{model}/{dataset}.parquet",
    log:
        "results/logs/filter_neighbors/{model}/{dataset}.log",
    benchmark:
        "results/benchmarks/filter_neighbors/{model}/{dataset}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(2),
    params:
        settings=lambda wildcards: {
            "dtype": dtype_of(wildcards),
            "in_file_order": experiment.neighbors_in_file_order(wildcards.model, wildcards.dataset),
            "seed": config["seed"],
            **worded(wildcards),
        },
        # the answers of an interrupted job, saved every so many seconds
        state=lambda wildcards, output: {"folder": beside(output[0], "state"), "every": 60},
        code=code("filter_neighbors"),
    script:
        "../scripts/filter_neighbors.py"


rule sample_split:
    input:
        facts="results/facts/{dataset}.parquet",
        neighbors=lambda wildcards: (
            "results/neighbors/{model}/{dataset}.parquet"
            if experiment.split_entries(**wildcards)[0].filtered
            else []
        ),
        model="results/models/{model}",
    output:
        "results/splits/{model}/{dataset}/{sample}.parquet",
    log:
        "results/logs/sample_split/{model}/{dataset}/{sample}.log",
    priority: 10  # what cannot be edited is told before what takes hours begins
    conda:
        "../envs/edit.yaml"
    params:
        settings=lambda wildcards: plain(experiment.split_settings(**wildcards)),
        code=code("sample_split"),
    script:
        "../scripts/sample_split.py"


rule sample_prefixes:
    input:
        model=lambda wildcards: f"results/models/{experiment.owner_model(wildcards.owner)}",
        source=lambda wildcards: (
            f"results/sources/{experiment.prefixes(wildcards.owner)['source']}"
            if "source" in experiment.prefixes(wildcards.owner)
            else []
        ),
    output:
        "results/prefixes/{owner}.parquet",
    log:
        "results/logs/sample_prefixes/{owner}.log",
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(1),
    params:
        settings=lambda wildcards: experiment.prefixes(wildcards.owner),
        dtype=lambda wildcards: {"dtype": config["models"][experiment.owner_model(wildcards.owner)]["dtype"]},
        code=code("sample_prefixes"),
    script:
        "../scripts/sample_prefixes.py"


# Not part of `all`: where to look for the layers of a model's hyperparameters.
rule trace_facts:
    input:
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
    output:
        "results/tracing/{model}/{dataset}.parquet",
    log:
        "results/logs/trace_facts/{model}/{dataset}.log",
    benchmark:
        "results/benchmarks/trace_facts/{model}/{dataset}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(2),
    params:
        settings=lambda wildcards: {
            **config["tracing"],
            "dtype": dtype_of(wildcards),
            "seed": config["seed"],
            **worded(wildcards),
        },
        code=code("trace_facts"),
    script:
        "../scripts/trace_facts.py"

rule score_edits:
    input:
        unpack(filter_where(lambda run: run.entry.filtered)),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
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
        settings=lambda wildcards: plain(experiment.score_settings(run_of(wildcards))),
        kept=kept,
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
        kept=kept,
        code=code("check_collapse"),
    script:
        "../scripts/check_collapse.py"


# What the model says by itself; on request (report: generation), since it takes as long as the scores or longer.
rule generate_answers:
    input:
        unpack(filter_where(lambda run: run.entry.filtered)),
        unpack(judge),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        generations="results/generations/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/generate_answers/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/generate_answers/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(8),
    params:
        settings=lambda wildcards: plain(experiment.answer_settings(run_of(wildcards))),
        kept=kept,
        code=code("generate_answers"),
    script:
        "../scripts/generate_answers.py"


# What is asked of a case beside its scores, where its dataset has groups.
rule ask_groups:
    input:
        unpack(judge),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        groups="results/groups/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        portability="results/portability/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/ask_groups/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/ask_groups/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(8),
    params:
        settings=lambda wildcards: plain(experiment.answer_settings(run_of(wildcards))),
        kept=kept,
        code=code("ask_groups"),
    script:
        "../scripts/ask_groups.py"


# How fluent the model still is, and whether it says what is said of its targets; on request (report: fluency).
rule generate_texts:
    input:
        unpack(reference_texts),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        prompts="results/generation_prompts/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        texts="results/texts/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/generate_texts/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/generate_texts/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(12),
    params:
        settings=lambda wildcards: plain(experiment.text_settings(run_of(wildcards))),
        kept=kept,
        code=code("generate_texts"),
    script:
        "../scripts/generate_texts.py"


rule measure_norms:
    input:
        model="results/models/{model}",
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        norms="results/norms/{model}/{dataset}/{method}/trial{trial}.parquet",
    log:
        "results/logs/measure_norms/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/measure_norms/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(2),
    params:
        settings=lambda wildcards: {
            "layers": experiment.hyperparameters(run_of(wildcards))["layers"],
            "dtype": dtype_of(wildcards),
        },
        kept=kept,
        code=code("measure_norms"),
    script:
        "../scripts/measure_norms.py"

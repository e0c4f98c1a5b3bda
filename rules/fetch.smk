rule fetch_source:
    input:
        lambda wildcards: experiment.local_path(wildcards.source) or [],
    output:
        directory("results/sources/{source}"),
    log:
        "results/logs/fetch_source/{source}.log",
    conda:
        "../envs/edit.yaml"
    params:
        settings=lambda wildcards: config["sources"][wildcards.source],
    conda:
        "../envs/edit.yaml"
    params:
        settings=lambda wildcards: {
            "source": config["sources"][wildcards.source],
            "base": str(experiment.base),
        },
    script:
        "../scripts/fetch_source.py"

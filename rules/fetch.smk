rule fetch_source:
    input:
        lambda wildcards: local(experiment.files.local(wildcards.source)),
    output:
        directory("results/sources/{source}"),
    log:
        "results/logs/fetch_source/{source}.log",
    localrule: True
    conda:
        "../envs/edit.yaml"
    params:
        settings=lambda wildcards: config["sources"][wildcards.source],
    script:
        "../scripts/fetch_source.py"

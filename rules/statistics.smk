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
    conda:
        "../envs/edit.yaml"
    threads: 8
    params:
        settings=lambda wildcards: {
            "format": config["corpora"][wildcards.corpus]["format"],
            "samples": config["corpora"][wildcards.corpus]["samples"],
            "max_tokens": config["corpora"][wildcards.corpus]["max_tokens"],
            "layers": experiment.layers(wildcards.model, wildcards.corpus),
            "dtype": dtype_of(wildcards),
        },
        code=code("collect_moments"),
    script:
        "../scripts/collect_moments.py"

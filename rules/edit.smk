rule edit_facts:
    input:
        unpack(
            lambda wildcards: (
                {"neighbors": f"results/neighbors/{wildcards.model}/{wildcards.dataset}.parquet"}
                if run_of(wildcards).method.assisting
                else {}
            )
        ),
        unpack(
            lambda wildcards: (
                {"moments": f"results/moments/{wildcards.model}/{run_of(wildcards).entry.corpus}"}
                if experiment.needs_moments(run_of(wildcards))
                else {}
            )
        ),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: (
            f"results/splits/{wildcards.model}/{wildcards.dataset}/{run_of(wildcards).entry.sample}.parquet"
        ),
        prefixes=lambda wildcards: f"results/prefixes/{run_of(wildcards).prefixes}.parquet",
    output:
        targets="results/edits/{model}/{dataset}/{method}/trial{trial}/targets.parquet",
        iterations="results/edits/{model}/{dataset}/{method}/trial{trial}/iterations.parquet",
        weights=directory("results/edits/{model}/{dataset}/{method}/trial{trial}/weights"),
    log:
        "results/logs/edit_facts/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/edit_facts/{model}/{dataset}/{method}/trial{trial}.tsv"
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        processes=lambda wildcards: experiment.processes(run_of(wildcards)),
        gpu=lambda wildcards: experiment.processes(run_of(wildcards)),
        mem_mb=lambda wildcards, input, attempt: (
            experiment.processes(run_of(wildcards)) * memory()(wildcards, input, attempt)
        ),
        runtime="1d",  # what is cut off goes on after its last complete iteration
    params:
        settings=lambda wildcards: experiment.edit_settings(run_of(wildcards)),
        # complete iterations of an interrupted job; an output folder would be wiped
        state=lambda wildcards, output: {
            "folder": os.path.dirname(output.targets).replace("results/edits/", "results/state/")
        },
        code=code("edit_facts"),
    script:
        "../scripts/edit_facts.py"

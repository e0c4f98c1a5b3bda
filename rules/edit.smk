rule edit_facts:
    input:
        unpack(filter_where(lambda run: run.method.assisting)),
        unpack(preserved),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
        prefixes=lambda wildcards: f"results/prefixes/{run_of(wildcards).prefixes}.parquet",
    output:
        targets="results/edits/{model}/{dataset}/{method}/trial{trial}/targets.parquet",
        iterations="results/edits/{model}/{dataset}/{method}/trial{trial}/iterations.parquet",
        weights=directory("results/edits/{model}/{dataset}/{method}/trial{trial}/weights"),
    log:
        "results/logs/edit_facts/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/edit_facts/{model}/{dataset}/{method}/trial{trial}.tsv"
    wildcard_constraints:
        method=any_of(experiment.methods(regularising=False)),
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
        settings=lambda wildcards: plain(experiment.edit_settings(run_of(wildcards))),
        # complete iterations, and targets that runs share; an output folder would be wiped
        state=lambda wildcards, output: {
            "folder": beside(os.path.dirname(output.targets), "state"),
            "finished": beside(os.path.dirname(output.targets), "finished"),
            "unedited": beside(re.sub("edits/.*", "edits/targets", output.targets), "state"),
        },
        code=code("edit_facts"),
    script:
        "../scripts/edit_facts.py"


# The weights of another method's run, regularised after the fact.
rule regularise_edits:
    input:
        unpack(filter_where(lambda run: run.method.assisting)),
        model="results/models/{model}",
        facts="results/facts/{dataset}.parquet",
        split=lambda wildcards: split_of(run_of(wildcards)),
        prefixes=lambda wildcards: f"results/prefixes/{run_of(wildcards).prefixes}.parquet",
        base_targets=regularised("targets.parquet"),
        base_iterations=regularised("iterations.parquet"),
        base_weights=regularised("weights"),
    output:
        targets="results/edits/{model}/{dataset}/{method}/trial{trial}/targets.parquet",
        iterations="results/edits/{model}/{dataset}/{method}/trial{trial}/iterations.parquet",
        weights=directory("results/edits/{model}/{dataset}/{method}/trial{trial}/weights"),
    log:
        "results/logs/regularise_edits/{model}/{dataset}/{method}/trial{trial}.log",
    benchmark:
        "results/benchmarks/regularise_edits/{model}/{dataset}/{method}/trial{trial}.tsv"
    wildcard_constraints:
        method=any_of(experiment.methods(regularising=True)),
    conda:
        "../envs/edit.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(4),
    params:
        settings=lambda wildcards: plain(experiment.edit_settings(run_of(wildcards))),
        regularisation=lambda wildcards: run_of(wildcards).method.regularisation,
        code=code("regularise_edits"),
    script:
        "../scripts/regularise_edits.py"

# What is made of an edited model, on request: a folder for transformers, and tasks of lm-evaluation-harness.
DOWNSTREAM = experiment.asked.downstream
TASKS = experiment.own_tasks


rule export_model:
    input:
        model="results/models/{model}",
        iterations="results/edits/{model}/{dataset}/{method}/trial{trial}/iterations.parquet",
        weights="results/edits/{model}/{dataset}/{method}/trial{trial}/weights",
    output:
        directory("results/edits/{model}/{dataset}/{method}/trial{trial}/model"),
    log:
        "results/logs/export_model/{model}/{dataset}/{method}/trial{trial}.log",
    conda:
        "../envs/edit.yaml"
    resources:
        mem_mb=memory(),
        runtime=hours(1),
    params:
        settings={"k": experiment.asked.export.k},
        code=code("export_model"),
    script:
        "../scripts/export_model.py"


rule evaluate_downstream:
    input:
        unpack(edited),
        model=lambda wildcards: f"results/models/{Path(wildcards.evaluated).parts[0]}",
        tasks=sorted(map(str, filter(Path.is_file, TASKS.rglob("*")))) if TASKS else [],
    output:
        "results/downstream/{evaluated}.parquet",
    log:
        "results/logs/evaluate_downstream/{evaluated}.log",
    wildcard_constraints:
        evaluated=r"[^/]+/(unedited|[^/]+/[^/]+/trial\d+)",
    conda:
        "../envs/downstream.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=memory(),
        runtime=hours(4),
    params:
        settings=lambda wildcards: {
            "dtype": config["models"][Path(wildcards.evaluated).parts[0]]["dtype"],
            "k": experiment.asked.export.k if edited(wildcards) else 0,
            "tasks": DOWNSTREAM.tasks if DOWNSTREAM else [],
            "limit": DOWNSTREAM.limit if DOWNSTREAM else None,
            "folder": str(TASKS) if TASKS else None,
            "seed": config["seed"],
        },
        code=code("evaluate_downstream"),
    script:
        "../scripts/evaluate_downstream.py"

# What is made of an edited model, on request.
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
        settings={"k": config.get("export", {}).get("k", "selected")},
        code=code("export_model"),
    script:
        "../scripts/export_model.py"

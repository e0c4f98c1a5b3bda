"""Iterative and neighbor-assisted model editing, from downloads to the paper's tables.

{run} is {model}/{dataset}/{method}/trial{trial}. What ends up where:

    results/sources/{source}/                          what was fetched, verified
    results/models/{model}/                            the prepared model
    results/facts/{dataset}.parquet                    the edit cases
    results/groups/{dataset}.parquet                   what is asked of them beside their scores
    results/generation_prompts/{dataset}.parquet       what models go on from where that is measured
    results/neighbors/{model}/{dataset}.parquet        the filter of Appendix B.2
    results/splits/{model}/{dataset}/{sample}.parquet  the cases of each trial
    results/tracing/{model}/{dataset}.{parquet,md,pdf,png}  causal tracing, on request
    results/hyperparameters/{model}/{algorithm}.{yaml,parquet,md,pdf,png}  found by tuning, on request
    results/prefixes/{owner}.parquet                   prefix templates, of a model or a method
    results/moments/{model}/{corpus}/{layer}.safetensors
    results/spectra/{model}/{corpus}/{layer}.safetensors  their eigenvectors, where an algorithm needs them
    results/exports/{model}/{corpus}_stats/            the moments as .npz for ROME and EasyEdit, on request
    results/edits/{run}/{targets,iterations}.parquet, weights/k{k}{,.after{n}}.safetensors
    results/edits/{run}/model/                         the edited model as a transformers folder, on request
    results/{scores,collapse,norms}/{run}.parquet, on request results/{generations,texts}/{run}.parquet
    results/portability/{run}.parquet                  of datasets with groups
    results/downstream/{{run},{model}/unedited}.parquet, on request
    results/summary/{runs,cases,example,differences,norms,comparison,table{n}}.parquet,
      on request {portability,generation,differences_generated,fluency,along,eligible,downstream}.parquet
    results/tables/{table{n},differences,norms,portability,generation,differences_generated,fluency,along,eligible,downstream,
      comparison,comparison{n}}.{tex,csv,md}
    results/figures/{figure}.{pdf,png}
    reports/tables.pdf
    reports/explore.html                               the edits case by case, for a browser without a network
"""

from snakemake.utils import min_version

min_version("9.9")


configfile: f"{workflow.current_basedir.path}/config.yaml"


include: "rules/common.smk"
include: "rules/fetch.smk"
include: "rules/prepare.smk"
include: "rules/statistics.smk"
include: "rules/edit.smk"
include: "rules/tune.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"
include: "rules/use.smk"


# On a cluster a localrule stays where snakemake runs: what needs the network, and what takes seconds.
rule all:
    default_target: True
    input:
        rules.compile_pdf.output,
        rules.render_page.output,
        rules.tables.input,
        rules.measurements.input,
    localrule: True

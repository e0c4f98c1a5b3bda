"""The checked experiment that all rules ask, and what they share."""

import os
import re
import shlex
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

HOUSE = Path(workflow.current_basedir).parent  # this checkout, also where it is a module of another workflow
# this checkout's library, whichever one the environment was made for; jobs inherit it, and take none from where they run
sys.path.insert(0, str(HOUSE / "scripts"))
os.environ.update(PYTHONPATH=os.pathsep.join(filter(None, [str(HOUSE / "scripts"), os.getenv("PYTHONPATH")])))
os.environ.update(PYTHONSAFEPATH="1")

# Snakemake puts the path of its Python into its jobs' shell commands as it is; not where `make` has put a command there
if os.path.isfile(sys.executable):
    sys.executable = shlex.quote(sys.executable)

from reedit.report.contents import beside_sequential, contents
from reedit.report.tables import catalog, paper
from reedit.jobs.code_digest import Code
from reedit.errors import InputError, nearest
from reedit.jobs.machine import provide_home
from reedit.methods.algorithms import ALGORITHMS
from reedit.settings.experiment import Experiment
from reedit.jobs.forced import tell_forced
from reedit.jobs.job import errors_since
from reedit.jobs.params import plain
from reedit.settings.overlays import overlaid
from reedit.storage.yaml_files import read_mapping

provide_home(os.environ)  # for Snakemake from here on, and for its jobs

# When this call began; its jobs inherit it, and tell by it what has failed in this call (reedit.jobs.job).
START = float(os.environ.setdefault("REEDIT_START", repr(time.time())))

# Snakemake gives a module its `config:` alone; that is an overlay of config.yaml like any other
config = overlaid(read_mapping(HOUSE / "config.yaml", "settings"), config)

if {"{", "}"} & set(str(HOUSE)):
    sys.exit(
        f"{HOUSE}: the path of this checkout has braces, which Snakemake takes for wildcards; expected none"
    )

try:
    for overlay in workflow.overwrite_configfiles:
        read_mapping(Path(overlay), "settings")  # Snakemake says nothing where a key stands twice
    experiment = Experiment(config, HOUSE)
except InputError as error:
    sys.exit(str(error))  # that one line; a WorkflowError would add where in this file it was raised


# On one machine jobs with a model run one at a time, whatever else --resources says: one of a profile would be lost by it.
# On a cluster, where --jobs is the limit, many do.
if (
    workflow.is_main_process
    and workflow.resource_settings.nodes is None
    and "gpu" not in workflow.global_resources
):
    workflow.register_resource("gpu", 1)


# What --forcerun and the like name is not known earlier.
onstart:
    tell_forced(workflow.dag_settings, os.environ)


# The last word: what went wrong, however far up the terminal the jobs said it.
onerror:
    for line in errors_since(Path("results/logs"), START):
        print(line, file=sys.stderr)


wildcard_constraints:
    source="[^/]+",
    model="[^/]+",
    dataset="[^/]+",
    corpus="[^/]+",
    method="[^/]+",
    sample="[^/]+",
    owner="[^/]+(/[^/]+)?",
    trial=r"\d+",
    n=r"\d+",


CODE = Code()


def code(rule_name):
    """The params entry that reruns a rule when code that its script uses changes."""
    return {"code": CODE.digest(HOUSE / f"scripts/{rule_name}.py")}


def fetched(section):
    """The fetched folder of the source that a definition of `section` names, as an input function."""
    kind = section[:-1] if section != "corpora" else "corpus"
    return lambda wildcards: f"results/sources/{config[section][wildcards[kind]]['source']}"


def fetched_facts(wildcards):
    """The fetched folders of a dataset's sources."""
    return [f"results/sources/{source}" for source in experiment.files.of_dataset(wildcards.dataset)]


def memory(times=1.5):
    """mem_mb of a job that holds its input `times` over; a retry, of a job perhaps killed for it, gets more."""

    def mem_mb(wildcards, input, attempt):
        return round(attempt * (6000 + times * sum(map(size_mb, map(Path, input)))))

    return mem_mb


def size_mb(path):
    """MB of a file, or of all that is in a folder: Snakemake's own input.size_mb does not look into folders."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6


def hours(first):
    """runtime of a job in minutes; a retry, of a job perhaps cut off by it, gets more."""
    return lambda wildcards, attempt: round(attempt * first * 60)


def beside(output, place):
    """Where in results/{place} a job keeps what another one goes on from; of an edit under its run's own name.

    state: of one that was interrupted; finished: of one that has ended.
    """
    kinds = "moments|spectra|neighbors|hyperparameters|scores|collapse|norms|generations|portability|texts"
    kept = re.sub(f"results/(edits/|(?=(?:{kinds})/))", f"results/{place}/", output, count=1)
    return kept.removesuffix(".parquet")


def kept(wildcards, output):
    """Where a job keeps what it measures, state by state, for all jobs of its rule and model."""
    return beside(str(Path(output[0]).parents[2]), "finished")


def any_of(names):
    """A pattern of exactly these names; of nothing where there is none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def run_of(wildcards):
    """The run that the wildcards of an edit, score or collapse job spell."""
    path = "{model}/{dataset}/{method}/trial{trial}".format(**wildcards)
    if path not in experiment.runs:
        raise WorkflowError(f"config: runs: none gives {path}{nearest(path, experiment.runs)}")
    return experiment.runs[path]


def filter_where(needed):
    """The neighbor filter of a run that needs it, as an input function for unpack."""

    def neighbors(wildcards):
        path = f"results/neighbors/{wildcards.model}/{wildcards.dataset}.parquet"
        return {"neighbors": path} if needed(run_of(wildcards)) else {}

    return neighbors


def judge(wildcards):
    """The prepared model that judges what is said, for unpack; nothing where there is none."""
    return {"judge": f"results/models/{experiment.judge}"} if experiment.judge else {}


def reference_texts(wildcards):
    """The fetched folder of a dataset's reference texts, for unpack; nothing where it has none."""
    references = experiment.asked.datasets[wildcards.dataset].references
    return {"references": f"results/sources/{references.source}"} if references else {}


def split_of(run):
    """The cases of a run's trials."""
    return f"results/splits/{run.entry.model}/{run.entry.dataset}/{run.entry.sample}.parquet"


def preserved(wildcards):
    """What a run reads of the second moments: themselves, their eigenvectors, or nothing."""
    run = run_of(wildcards)
    if not experiment.needs_moments(run):
        return {}
    kind = "spectra" if experiment.needs_spectra(run) else "moments"
    return {kind: f"results/{kind}/{run.entry.model}/{run.entry.corpus}"}


def regularised(name):
    """A file of the run whose updates a method regularises, as an input function."""
    return lambda wildcards: f"results/edits/{experiment.regularised(run_of(wildcards))}/{name}"


def edited(wildcards):
    """The weights of {evaluated}, a run, and what chooses among them; nothing of an unedited model."""
    if Path(wildcards.evaluated).name == "unedited":
        return {}
    run = f"results/edits/{wildcards.evaluated}"
    return {"iterations": f"{run}/iterations.parquet", "weights": f"{run}/weights"}


def dtype_of(wildcards):
    return config["models"][wildcards.model]["dtype"]


def worded(wildcards):
    """The params entry of a model's and a dataset's wording; none of the usual one."""
    wording = experiment.wording(wildcards.model, wildcards.dataset)
    return {"wording": wording} if wording else {}


def run_files(template):
    """A file of every run, in the configuration's order."""
    return [template.format(run=path) for path in experiment.runs]

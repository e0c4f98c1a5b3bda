"""What would stop an experiment on this machine, as far as it can be told without running it."""

import os
import shutil
from pathlib import Path

from reedit.jobs.gpus import VISIBLE, listed_gpus, visible_gpus
from reedit.models.folder import check_folder
from reedit.settings.definitions import Hub
from reedit.settings.experiment import Experiment
from reedit.use.costs import GB
from reedit.use.plan import disk_of, job_costs

PROCESSOR = 1e11  # operations a second that two cores sustain (docs/performance.md)


def obstacles(experiment: Experiment, results: Path) -> list[str]:
    """Sentences, one an obstacle: disk, GPU memory, tokens for the hub, and more edits than cases.

    `results`: where the experiment's results go. Raises InputError where a definition lacks what make plan
    needs.
    """
    sized = [*_too_little_disk(experiment, results), *_too_small_gpu(experiment)]
    return [*sized, *obstacles_of_any_size(experiment)]


def obstacles_of_any_size(experiment: Experiment) -> list[str]:
    """Those of them that nobody has to know the models' shapes for."""
    return [*_too_few_cases(experiment), *_no_token(experiment)]


def check_local_models(experiment: Experiment) -> None:
    """Raise InputError for a model in a folder on this machine that cannot be edited (models/folder.py)."""
    for model in experiment.models:
        for path in experiment.files.local(experiment.asked.models[model].source)[:1]:
            check_folder(Path(path))


def _too_few_cases(experiment: Experiment) -> list[str]:
    found = []
    for entry in experiment.entries:
        known = experiment.asked.datasets[entry.dataset].cases
        if entry.edits != "all" and known is not None and entry.edits * entry.trials > known:
            asked = f"{entry.trials} x {entry.edits} edits of {entry.dataset}"
            found.append(f"runs[{entry.index}] asks for {asked}, which has {known} cases.")
    return found


def _too_little_disk(experiment: Experiment, results: Path) -> list[str]:
    place = next(folder for folder in [results.absolute(), *results.absolute().parents] if folder.exists())
    needed, free = disk_of(experiment), shutil.disk_usage(place).free / GB
    if needed <= free:
        return []
    hint = "keep_weights: selected keeps the weights of one k alone"
    return [f"{needed:.0f} GB of disk are needed, and {place} has {free:.0f} GB free; {hint}."]


def _too_small_gpu(experiment: Experiment) -> list[str]:
    largest = max(job_costs(experiment), key=lambda group: group.cost.gpu)
    told = f"{largest.cost.gpu:.0f} GB for {largest.cost.rule} of {largest.model}"
    seen = visible_gpus(listed_gpus(), os.environ.get(VISIBLE))
    if not seen:
        days = sum(group.count * group.cost.work for group in job_costs(experiment)) / PROCESSOR / 86400
        slow = f"This machine shows no NVIDIA GPU, and without one the jobs take some {days:.0f} days"
        return [f"{slow}; on one, they take up to {told}."] if days > 1 else []
    memory = [gpu.total * 2**20 / GB for gpu in seen]
    # one that shares the machine's memory does not say how much it has
    if not all(memory) or max(memory) >= largest.cost.gpu:
        return []
    return [f"The largest GPU here has {max(memory):.0f} GB, and jobs take up to {told}."]


def _no_token(experiment: Experiment) -> list[str]:
    sources = [experiment.asked.sources[name] for name in experiment.used_sources]
    models = [source.repo for source in sources if isinstance(source, Hub) and source.repo_type == "model"]
    if not models or os.environ.get("HF_TOKEN"):
        return []
    return [f"HF_TOKEN is not set: of {', '.join(models)} those that are gated cannot be fetched."]

"""What editing does to a model's other abilities: tasks of lm-evaluation-harness."""

import importlib.util
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel

PACKAGES = ("lm_eval", "datasets")
BATCH = 8
RESAMPLES = 1000  # for the standard error of what has no formula of its own
SEEDS = ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed")


def evaluate_downstream(
    model: LanguageModel, tasks: Sequence[str], limit: int | None, folder: Path | None, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the schema ``downstream`` for a model as it is, and what they depend on besides.

    `limit`: the first so many documents of each task, all for None; `folder`: with definitions of tasks
    (YAML) beside the harness's own. A task may download its documents; no code is fetched, neither a model's
    nor a metric's. Raises InputError without the harness, and where a task is unknown or cannot be had.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise InputError(
            "lm_eval is not installed in this environment: make setup-downstream, and call"
            " .venv-downstream/bin/snakemake (docs/using.md)"
        )
    os.environ["HF_EVALUATE_OFFLINE"] = "1"  # metrics on the hub are programs
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=folder and str(folder))
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise InputError(
            f"downstream: unknown tasks {unknown}, expected names that lm_eval has (lm_eval ls tasks)"
        )
    harness = HFLM(pretrained=model.model, tokenizer=model.tokenizer, batch_size=BATCH)
    try:
        found = lm_eval.simple_evaluate(
            model=harness,
            tasks=list(tasks),
            limit=limit,
            task_manager=manager,
            bootstrap_iters=RESAMPLES,
            log_samples=False,
            **dict.fromkeys(SEEDS, seed),
        )
    except (
        OSError,
        ValueError,
        KeyError,
    ) as error:  # of a document set that is not there, offline or damaged
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"downstream: {', '.join(tasks)}: {told}") from error
    depends = {"task_versions": found["versions"], "harness": {name: version(name) for name in PACKAGES}}
    return rows_of(found), depends


def rows_of(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the harness found, task by task and metric by metric; a group of tasks is one, too."""
    rows = []
    for task, values in found["results"].items():
        for key, value in values.items():
            metric, comma, kept = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            error = values.get(f"{metric}_stderr,{kept}")
            rows.append(
                {
                    "task": task,
                    "metric": metric if kept == "none" else f"{metric} ({kept})",
                    "value": float(value),
                    "stderr": float(error) if isinstance(error, int | float) else None,
                    "documents": found["n-samples"].get(task, {}).get("effective"),
                    "after": None,
                }
            )
    return rows

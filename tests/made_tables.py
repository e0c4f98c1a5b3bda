"""One made-up experiment that fills every printed table: the rows and provenance of each summary."""

import math
from pathlib import Path
from typing import Any

from made_page import MADE_BY
from made_reported import reported_lines
from made_runs import case_table, experiment, generated_runs, grouped_runs, told_runs

from reedit.report.rows.comparison import compare
from reedit.report.rows.differences import SAID, difference_rows, judged_answers, judged_cases
from reedit.report.rows.fluency import fluency_rows
from reedit.report.rows.generation import generation_rows
from reedit.report.rows.lines import methods_of, never_stopped, partly_stopped
from reedit.report.rows.norms import BLOWING_UP, MORE_SPREAD, SETTLED
from reedit.report.rows.portability import portability_rows
from reedit.report.rows.runs import Samples, table_rows
from reedit.report.tables.paper import TABLES
from reedit.storage.schemas import EXACT, TOLD

LABELS = {"small": "Small (0.1B)", "facts": "World | facts", "na_memit": "MEMIT + NA"}
REPORTED_AS = {"models": {"small": "gpt2-xl"}, "datasets": {"facts": "counterfact"}, "methods": {}}
RUN = MADE_BY | {"packages": {"torch": "2.13.0", "transformers": "5.23.0"}}
RUN |= {"measures": {"efficacy": 1, "me_ppl": 1}}
Summary = tuple[list[dict[str, Any]], dict[str, Any]]  # rows, provenance


def made_summaries(folder: Path) -> dict[str, Summary]:
    """The rows and the provenance of each summary by its name; `folder` takes the runs' files."""
    runs, paths = experiment(folder / "runs", METHODS, cases=12)
    for row in runs:  # ROME collapses
        if row["method"] == "rome" and row["k"] > 0:
            row["me_ppl"] = math.nan if row["k"] == 2 else 4e6
    methods, samples = methods_of(runs), Samples(paths, seed=0)
    made_by = {"{}/{}/{}/trial{}".format(*key): RUN for key in paths}
    tables = {number: table_rows(table.lines(methods), samples) for number, table in TABLES.items()}
    unmet = {"unmet": [m.path for m in never_stopped(methods)]}
    unmet |= {"partly": [m.path for m in partly_stopped(methods)]}
    found: dict[str, Summary] = {}
    for number, rows in tables.items():
        told = unmet if TABLES[number].side_by_side else {"unmet": [], "partly": []}
        found[f"table{number}"] = (rows, {"runs": made_by} | told)
    cells = {int(number): rows for number, rows in tables.items()}
    answered, files = generated_runs(folder / "generated", METHODS[:4], cases=6)
    generated = {key: own.generations for key, own in files.items()}
    texts = told_runs(folder / "told", METHODS[:4], cases=6)
    given = {"runs": made_by}
    return found | {
        "table5": (hardware(), given),
        "comparison": (compare(reported_lines(), cells, REPORTED_AS), given),
        "differences": (difference_rows(runs, judged_cases(case_table(runs, paths)), seed=0), given),
        "generation": (generation_rows(answered, files, seed=0), given),
        "differences_generated": (
            difference_rows(answered, judged_answers(generated), seed=0, kinds=SAID),
            given,
        ),
        "fluency": (fluency_rows(*texts, seed=0), given),
        "portability": (
            portability_rows(*grouped_runs(folder / "grouped", METHODS[:4], cases=6), seed=0),
            given,
        ),
        "norms": (norms(), given),
        "along": (along(), given),
        "eligible": (eligible(), given),
        "downstream": (
            downstream(),
            {"runs": {"small/facts/memit/trial1": HARNESS, "small/unedited": HARNESS}},
        ),
    }


METHODS: list[dict[str, Any]] = [
    {"model": "small", "dataset": "facts", "edits": 960} | method
    for method in (
        {"method": "memit", "delta_p": [11359.6, 3.0, 0.4], "trial": 1},
        {"method": "memit", "delta_p": [9000.0, 0.9], "trial": 2},
        {"method": "na_memit", "delta_p": [400.0, 0.7, 0.2], "assisted": True},
        {"method": "nap_memit", "delta_p": [0.5, 0.4], "assisted": True, "prefixed": True},
        {"method": "rome", "delta_p": [7.1e14, math.inf], "protocol": "released", "entry": 1},
        {"method": "pmet", "delta_p": [90.0, 30.0, 0.9], "delta_p2": [90.0, 0.5, 0.1], "entry": 1},
        {"method": "memit", "delta_p": [50.0, 0.3], "dataset": "questions", "format": "zsre", "entry": 1},
        {"method": "memit", "delta_p": [80.0, 0.6], "model": "large", "entry": 1, "edits": 8},
        {"method": "memit", "delta_p": [0.1], "model": "large", "dataset": "more", "entry": 1},
    )
]
HARNESS = {
    "model_revision": "sha256:0123456789abcdef",
    "harness": {"lm_eval": "0.4.13"},
    "task_versions": {"boolq": 2, "arc_easy": 1},
    "limit": None,
}


def hardware() -> list[dict[str, Any]]:
    """Rows of schema "hardware": two models, a method on two datasets."""
    shared = {"algorithm": "memit", "iterations": 3, "edits": 960, "trials": 2}
    lines = [("small", "facts", "memit"), ("small", "questions", "memit"), ("small", "facts", "na_memit")]
    lines += [("large", "facts", "memit")]
    return [
        {"model": model, "dataset": dataset, "method": method, **shared}
        | {"device": "NVIDIA A100-SXM4-80GB", "peak_memory_mb": 1536.0 * n, "seconds": 3999.5 * n}
        for n, (model, dataset, method) in enumerate(lines, start=1)
    ]


def norms() -> list[dict[str, Any]]:
    """Rows of schema "norm_summary": methods that settle, that need more and that blow up."""
    rows = []
    for model, method, reading, growth in (
        ("small", "memit", MORE_SPREAD, 1.0034),
        ("small", "na_memit", SETTLED, 1.01),
        ("small", "rome", BLOWING_UP, 2.5e7),
        ("large", "memit", SETTLED, 1.2),
    ):
        shared = {"model": model, "dataset": "facts", "method": method, "algorithm": method.split("_")[-1]}
        shared |= {"protocol": "corrected", "edits": 960, "trials": 2}
        for k in range(4):
            edited = (
                {"update_norm": 11.25 / k, "residual_before": 0.65 / k, "residual_after": 0.1 / k}
                if k
                else {}
            )
            ratios = {
                "growth": growth if k else 1.0,
                "condition": 22.756 * growth,
                "condition_growth": growth,
            }
            blank = dict.fromkeys(("update_norm", "residual_before", "residual_after", "reading"))
            told = {"reading": reading} if k else {}
            if (method, k) == ("rome", 2):
                ratios |= {"condition": math.inf, "condition_growth": math.nan}
            if (method, k) == ("memit", 2):  # not kept
                ratios, told = dict.fromkeys(ratios), {}
            rows.append(shared | {"k": k, "k_min": min(k, 2)} | blank | edited | ratios | told)
    return rows


def along() -> list[dict[str, Any]]:
    """Rows of schema "along": one method that keeps what it writes, one that collapses."""
    rows = []
    for method, falls in (("memit_seq", 0.0), ("memit", 0.02)):
        shared = {"model": "small", "dataset": "facts", "method": method, "algorithm": "memit+batch20"}
        shared |= {"protocol": "corrected", "edits": 100, "trials": 1}
        for after in (0, 20, 60, 100):
            share = max(0.0, 0.95 - falls * after) if after else 0.01
            values = {name: share for name in ("every_efficacy", "first_efficacy", "every_generalization")}
            values |= {"first_generalization": share, "every_specificity": 1.0, "first_specificity": None}
            ends = {"": 0.0, "_low": -0.05, "_high": 0.05}
            told = {
                f"{name}_accuracy{end}": None if value is None else min(1.0, max(0.0, value + by))
                for name, value in values.items()
                for end, by in ends.items()
            }
            told |= {f"{name}{end}": None for name in (*TOLD, *EXACT) for end in ends}
            me_ppl = 20.0 + falls * 1e5 * after
            rows.append(shared | {"k": int(after > 0), "after": after, "me_ppl": me_ppl} | told)
    return rows


def eligible() -> list[dict[str, Any]]:
    """Rows of schema "eligible"."""
    names = ("cases", "eligible", "published", "both", "only_anew", "only_published", "not_in_pool")
    counts = {"small": (2000, 1200, 960, 900, 300, 50, 10), "large": (2000, 1500, 1340, 1300, 200, 40, 0)}
    return [{"model": model} | dict(zip(names, found, strict=True)) for model, found in counts.items()]


def downstream() -> list[dict[str, Any]]:
    """Rows of schema "downstream_summary": a metric without a standard error, and one without a rival."""
    rows = []
    for method in ("memit", "na_memit"):
        who = {"model": "small", "dataset": "facts", "method": method, "trial": 1, "k": 2}
        for task, metric, before, value, error in (
            ("boolq", "acc", 0.6125, 0.5, 0.0125),
            ("arc_easy", "perplexity", 10.0, 12.25, None),
            ("new", "acc (strict)", None, 0.1, None),
        ):
            difference = None if before is None else value - before
            after = 10 if task == "boolq" else None
            told = {"task": task, "metric": metric, "documents": 40, "stderr": error, "after": after}
            rows.append(who | told | {"unedited": before, "edited": value, "difference": difference})
    return rows


def tracing() -> list[dict[str, Any]]:
    """Rows of schema "tracing": two facts, four layers, windows of two."""
    rows = []
    for kind, width in (("hidden", 1), ("mlp", 2), ("attention", 2)):
        for layer in range(5 - width):
            for case in (1, 2):
                restored = 0.1 + 0.1 * case + (0.2 if (kind, layer) == ("mlp", 1) else 0.02 * layer)
                given = {"case_id": case, "kind": kind, "layer": layer, "layers": width, "sample": 0}
                rows.append(given | {"p_clean": 0.9, "p_corrupted": 0.1, "p_restored": restored})
    return rows

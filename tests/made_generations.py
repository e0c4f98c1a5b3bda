"""Scores and generated answers of made-up runs, which agree in part."""

from pathlib import Path

import numpy as np
from made_runs import experiment, score

from reedit.report.rows.generation import AnswerFiles
from reedit.storage import parquet


def said(k, case_id, metric, prompt, exact, contains):
    """One row of schema "generations"."""
    row = {"k": k, "case_id": case_id, "metric": metric, "prompt": prompt, "answer": "Rome"}
    return row | {"generated": " it is Rome", "exact": exact, "contains": contains}


def forced(k, case_id, metric, prompt, accuracy, exact_match):
    return score(k, case_id, metric, accuracy, 1.0, prompt) | {"exact_match": exact_match}


def write(folder: Path, scores, generations) -> AnswerFiles:
    files = AnswerFiles(folder / "scores.parquet", folder / "generations.parquet")
    parquet.write(scores, files.scores, "scores", {})
    parquet.write(generations, files.generations, "generations", {})
    return files


def generated_runs(folder: Path, methods, cases=30):
    """Rows of "runs" and files: what is generated is exact in half of what teacher forcing has right."""
    runs, scores = experiment(folder, methods, cases=cases)
    files = {}
    for number, (key, path) in enumerate(scores.items()):
        rng = np.random.default_rng(number)
        rows = parquet.read(path, "scores")
        for row in rows:
            row["exact_match"] = float(row["accuracy"] == 1.0)
        answers = [
            said(r["k"], r["case_id"], r["metric"], r["prompt"], r["exact_match"] * (rng.random() < 0.5), 1.0)
            for r in rows
        ]
        files[key] = write(path.parent, rows, answers)
    return runs, files

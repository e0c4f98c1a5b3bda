"""Made-up runs with known numbers, as the workflow's own files."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from reedit.report.rows.cases import case_rows
from reedit.report.rows.generation import AnswerFiles
from reedit.report.rows.runs import Row, RunKey, run_rows
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

ITERATION = {name: 1.0 for name in SCHEMAS["iterations"].names}


def score(k, case_id, metric, accuracy, success, prompt="prompt", logp_new=-1.0, logp_true=-2.0):
    """One row of schema "scores"."""
    return {
        "k": k,
        "case_id": case_id,
        "metric": metric,
        "prompt": prompt,
        "accuracy": accuracy,
        "success": success,
        "exact_match": 0.0,
        "logp_new": logp_new,
        "logp_true": logp_true,
        "predicted": "x",
        "after": None,
    }


def write_run(folder: Path, scores, collapse=(), iterations=()) -> tuple[Path, Path, Path]:
    """The three files of a run: rows of scores, (k, ppl, ppl_released), columns of iterations by k from 1."""
    texts = [
        {"k": k, "text": f"text {n}", "ppl": ppl, "ppl_released": released, "after": None}
        for n, (k, ppl, released) in enumerate(collapse)
    ]
    edits = [ITERATION | {"k": k} | columns for k, columns in enumerate(iterations, start=1)]
    paths = tuple(folder / f"{name}.parquet" for name in ("scores", "collapse", "iterations"))
    for rows, path in zip((scores, texts, edits), paths, strict=True):
        parquet.write(rows, path, path.stem, {})
    return paths


def drawn_scores(ks: int, cases: int, seed: int) -> list[dict]:
    """Random scores for k = 0..ks: efficacy rises, specificity falls."""
    rng = np.random.default_rng(seed)
    rows = []
    for k in range(ks + 1):
        reached = 1 - 0.5**k
        shares = {"efficacy": 0.05 + 0.9 * reached, "generalization": 0.05 + 0.5 * reached}
        for case in range(cases):
            for metric, prompts in [("efficacy", 1), ("generalization", 2), ("specificity", 3)]:
                share = shares.get(metric, 1 - 0.3 * reached)
                for prompt in range(prompts):
                    accuracy = 1.0 if metric == "specificity" and k == 0 else float(rng.random() < share)
                    success = float(rng.random() < share)
                    logp = {"logp_new": -2.0 - success, "logp_true": -2.5}
                    if metric != "specificity":
                        logp["logp_new"] = -3.0 + success
                    rows.append(score(k, case, metric, accuracy, success, str(prompt), **logp))
    return rows


def experiment(folder: Path, methods, cases=40) -> tuple[list[Row], dict[RunKey, Path]]:
    """Rows of "runs" and the score files of made-up methods.

    Each of `methods` is a dict with method and delta_p (for k = 1..), perhaps entry, model, dataset,
    format, algorithm, assisted, prefixed, protocol, trial, edits and delta_p2.
    """
    rows, paths = [], {}
    usual = {"entry": 0, "model": "smollm2-135m", "dataset": "worldfacts", "trial": 1}
    usual |= {"format": "counterfact", "assisted": False, "prefixed": False}
    for number, given in enumerate(methods):
        run = usual | {"algorithm": given["method"].split("_")[-1], "protocol": "corrected"} | given
        key = (run["model"], run["dataset"], run["method"], run["trial"])
        iterations = [
            {
                "delta_p": value,
                "delta_p2": change,
                "ppl_initial": 4e4 / k**3,
                "ppl_target": 1.02,
                "ppl_edited": 1.02 + value,
            }
            for k, (value, change) in enumerate(
                zip(run["delta_p"], run.get("delta_p2", run["delta_p"]), strict=True), start=1
            )
        ]
        count = len(iterations)
        collapse = [(k, 30.0 + k, 28.0 + k) for k in range(count + 1)]
        files = write_run(
            folder / "/".join(map(str, key)), drawn_scores(count, cases, number), collapse, iterations
        )
        rows += run_rows(run, *files, run.get("edits", cases))
        paths[key] = files[0]
    return rows, paths


def target(k, case_id, ppl_initial=100.0, ppl_target=1.1, ppl_edited=2.0):
    """One row of schema "targets"."""
    perplexities = {"ppl_initial": ppl_initial, "ppl_target": ppl_target, "ppl_edited": ppl_edited}
    others = dict.fromkeys(("hidden_norm", "delta_norm", "residual_before", "residual_after"), 1.0)
    return {"k": k, "case_id": case_id, "steps": 5} | perplexities | others


def case_table(rows: list[Row], paths: dict[RunKey, Path]) -> pa.Table:
    """Rows of "cases" for the runs of `experiment`, with perplexities around the runs' own."""
    tables = []
    for number, (key, scores) in enumerate(paths.items()):
        run = [
            row
            for row in rows
            if (row["model"], row["dataset"], row["method"], row["trial"]) == key and row["k"] > 0
        ]
        cases = parquet.read_table(scores, "scores")["case_id"].unique().to_pylist()
        rng = np.random.default_rng(number)
        targets = [
            target(
                row["k"],
                case,
                row["ppl_initial"] * rng.lognormal(),
                1 + 0.05 * rng.lognormal(),
                1.02 + row["delta_p"] * rng.lognormal(-0.5),
            )
            for row in run
            for case in cases
        ]
        path = scores.with_name("targets.parquet")
        parquet.write(targets, path, "targets", {})
        tables.append(case_rows(run[0], scores, path))
    return pa.concat_tables(tables)


def said(k, case_id, metric, prompt, exact, contains):
    """One row of schema "generations"."""
    row = {"k": k, "case_id": case_id, "metric": metric, "prompt": prompt, "answer": "Rome"}
    row |= {"generated": " it is Rome", "exact": exact, "contains": contains, "judged_true": contains}
    return row | {"after": None}


def write_answers(folder: Path, scores, generations) -> AnswerFiles:
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
        files[key] = write_answers(path.parent, rows, answers)
    return runs, files


def told(k, case_id, fluency, consistency, after=None):
    """One row of schema "texts"."""
    row = {"k": k, "case_id": case_id, "texts": ["a text"], "fluency": fluency}
    return row | {"consistency": consistency, "after": after}


def each_run(scores):
    """Key, scores, random numbers of its own and ks of each run."""
    for number, (key, path) in enumerate(scores.items()):
        ks = sorted({row["k"] for row in parquet.read(path, "scores")})
        yield key, path, np.random.default_rng(number), ks


def told_runs(folder: Path, methods, cases=30):
    """Rows of "runs" and the texts of each run: fluency falls with k, and consistency rises."""
    runs, scores = experiment(folder, methods, cases=cases)
    files = {}
    for key, path, rng, ks in each_run(scores):
        rows = [
            told(k, case, 6.3 - k * rng.random(), None if case == 0 else 0.1 * k + 0.2 * rng.random())
            for k in ks
            for case in range(cases)
        ]
        files[key] = path.with_name("texts.parquet")
        parquet.write(rows, files[key], "texts", {})
    return runs, files


def asked(k, case_id, group, item, accuracy, judged, known=None, after=None):
    """One row of schema "portability"; `known` is told at k = 0 alone."""
    row = {"k": k, "case_id": case_id, "group": group, "item": item, "accuracy": accuracy}
    row |= {"exact_match": None if accuracy is None else float(accuracy == 1), "generated": "a text"}
    return row | {"judged_true": judged, "premise_known": known if k == 0 else None, "after": after}


def grouped_runs(folder: Path, methods, cases=30):
    """Rows of "runs" and the groups of each run: what follows rises with k; a third of premises is known."""
    runs, scores = experiment(folder, methods, cases=cases)
    files = {}
    for key, path, rng, ks in each_run(scores):
        rows = [
            asked(k, case, group, item, float(rng.random() < share), float(rng.random() < share / 2), known)
            for k in ks
            for case in range(cases)
            for group, share, known in (
                ("multi_hop", k / 3, case % 3 == 0),
                ("Subject_Aliasing", k / 4, None),
            )
            for item in range(2)
        ]
        files[key] = path.with_name("portability.parquet")
        parquet.write(rows, files[key], "portability", {})
    return runs, files

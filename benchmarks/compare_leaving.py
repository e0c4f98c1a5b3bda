"""Edits that leave when they are done (`leaves: gap`) beside full iteration: what it saves and costs.

    python benchmarks/compare_leaving.py ../shared/data --edits 200 --trials 2 --iterations 5 > leaving.md

The folder holds counterfact-subset-1.json and me-ppl-50.json, the files of experiments/counterfact-cpu.yaml.
The workflow makes the runs, in --work: each method with and without, on the same eligible cases. What is
finished there is not made again, and what was interrupted goes on. Beside them cases.parquet has a row for
each method, trial, k and case, and iterations.parquet one for each method, trial and k. Printed are paired
differences, gap minus never, at each k and where the proposed rule stops, with bootstrap intervals of 95 %.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from material import NAME, ROOT
from measuring import print_machine, print_table

from reedit.evaluate.measures import KINDS, METRICS, paired_intervals, percentiles, resamples
from reedit.methods.recipe import Recipe
from reedit.methods.stopping import selected
from reedit.report.words import signed
from reedit.settings.overlays import read_experiment
from reedit.storage import parquet
from reedit.storage.files import write_text

PROTOCOL, SEED = "corrected", 0
MEASURES = [f"{metric}_{kind}" for metric in METRICS for kind in KINDS]
COLUMNS = [
    "method",
    "k",
    *(name.replace("_", ", ") for name in MEASURES),
    "ME-PPL",
    "optimised",
    "s",
    "ratio",
]


def configuration(chosen: argparse.Namespace) -> Path:
    """The overlay of config.yaml, written into the working folder."""
    sources = {
        name: {"kind": "file", "path": str((chosen.data / f"{name}.json").resolve())}
        for name in ("counterfact-subset-1", "me-ppl-50")
    }
    model = {}
    if chosen.model:
        sources["its-folder"] = {"kind": "folder", "path": str(chosen.model.resolve())}
        model = {NAME: {"source": "its-folder"}}
    known = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["methods"]
    entry = {
        **{"model": NAME, "dataset": "counterfact", "corpus": "wikipedia-sample", "protocol": PROTOCOL},
        **{"edits": chosen.edits, "trials": chosen.trials, "iterations": chosen.iterations},
        **{"stop": "none", "eligible": True, "misaligned": "drop"},
        "methods": [name for method in chosen.methods for name in (method, f"{method}_gap")],
    }
    overlay = {
        "sources": sources,
        "models": model,
        "datasets": {"counterfact": {"format": "counterfact", "source": "counterfact-subset-1"}},
        "methods": {f"{name}_gap": {**known[name], "leaves": "gap"} for name in chosen.methods},
        "collapse": {"source": "me-ppl-50"},
        "runs": [entry],
    }
    path = chosen.work / "leaving.yaml"
    write_text(path, yaml.safe_dump(overlay, sort_keys=False))
    return path


def make(chosen: argparse.Namespace, config: Path) -> None:
    """Run the workflow as far as the scores; what it says goes to the standard error."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(chosen.work), "--configfile", str(config), "--cores", str(chosen.cores)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        [*command, "results/summary/cases.parquet"],
        check=True,
        stdout=sys.stderr,
        env={**os.environ, "PATH": path},
    )


def iterations(results: Path, path: str, recipe: Recipe) -> pd.DataFrame:
    """A run's iterations: their seconds, how many edits were optimised, and ME-PPL's texts, [texts] each."""
    rows = parquet.read(results / f"edits/{path}/iterations.parquet", "iterations")
    targets = parquet.read(results / f"edits/{path}/targets.parquet", "targets")
    texts = pd.DataFrame(parquet.read(results / f"collapse/{path}.parquet", "collapse"))
    held: frozenset[int] = frozenset()
    made = []
    for row in rows:
        now = [target for target in targets if target["k"] == row["k"]]
        ppl = texts[texts["k"] == row["k"]]["ppl"].to_numpy()
        numbers = {"k": row["k"], "optimised": len(now) - len(held), "texts": ppl, "me_ppl": ppl.mean()}
        names = ("seconds_optimization", "seconds_spread", "seconds_total", "delta_p", "delta_p2")
        made.append(numbers | {name: row[name] for name in names})
        held = recipe.held(now)
    return pd.DataFrame(made)


def interval(text: str, bounds: Sequence[str]) -> str:
    return f"{text} ({bounds[0]} to {bounds[1]})"


def line(
    method: str, sides: Sequence[tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]]
) -> list[str]:
    """A line of the table, from each trial's iterations up to the k compared, and cases at it: gap, never."""
    means, bounds = paired_intervals([(ours, theirs) for _, _, ours, theirs in sides], PROTOCOL, SEED)
    cells = [interval(signed(m), [signed(b) for b in bound]) for m, bound in zip(means, bounds, strict=True)]
    gaps = [ours["texts"].iloc[-1] - theirs["texts"].iloc[-1] for ours, theirs, _, _ in sides]
    drawn = [resamples(len(gap), SEED, trial, 1000) @ gap / len(gap) for trial, gap in enumerate(gaps)]
    bound = percentiles(np.mean(drawn, 0)[:, None])[0]
    texts = interval(f"{np.mean([gap.mean() for gap in gaps]):+.2f}", [f"{b:+.2f}" for b in bound])
    made = [pd.concat([side[number] for side in sides]).query("k > 1") for number in (0, 1)]
    ks = ["-".join(sorted({str(side[number]["k"].iloc[-1]) for side in sides})) for number in (0, 1)]
    optimised, seconds = ([of[name].sum() for of in made] for name in ("optimised", "seconds_total"))
    cells = [method, " / ".join(dict.fromkeys(ks)), *cells[: len(MEASURES)], texts]
    cells += [f"{optimised[0]} / {optimised[1]}", f"{seconds[0]:.0f} / {seconds[1]:.0f}"]
    return [*cells, f"{seconds[0] / seconds[1]:.2f}" if seconds[1] else ""]


def main() -> None:
    """Make the runs, write what they gave, print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the two files")
    parser.add_argument("--work", type=Path, default=Path("leaving"), help="where the runs are made")
    parser.add_argument("--model", type=Path, help=f"a folder of {NAME}; by default it is fetched")
    parser.add_argument("--methods", nargs="+", default=["memit", "pmet", "na_memit"])
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--trials", type=int, default=2, help="disjoint samples")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    config = configuration(chosen)
    make(chosen, config)
    results = chosen.work / "results"
    experiment = read_experiment([ROOT / "config.yaml", config], ROOT)
    cases = pd.DataFrame(parquet.read(results / "summary/cases.parquet", "cases"))
    made = {
        (run.method.name, run.trial): iterations(results, path, experiment.edit_settings(run).recipe)
        for path, run in experiment.runs.items()
    }
    cases.to_parquet(chosen.work / "cases.parquet")
    told = pd.concat(made, names=["method", "trial"]).reset_index(["method", "trial"])
    told.drop(columns="texts").to_parquet(chosen.work / "iterations.parquet")

    def side(method: str, trial: int, k: int) -> tuple[pd.DataFrame, np.ndarray]:
        of = cases.query("method == @method and trial == @trial and k == @k").sort_values("case_id")
        values = of[MEASURES].to_numpy(float).reshape(len(of), len(METRICS), len(KINDS))
        return made[method, trial].query("k <= @k"), values

    lines = []
    for method in chosen.methods:
        for k in (*range(2, chosen.iterations + 1), None):  # the last one: where the rule stops
            pairs = []
            for trial in range(1, chosen.trials + 1):
                names = (f"{method}_gap", method)
                ks = [k or selected(made[name, trial].to_dict("records"))[0] for name in names]
                (ours, mine), (theirs, other) = (side(n, trial, at) for n, at in zip(names, ks, strict=True))
                pairs.append((ours, theirs, mine, other))
            lines.append(line(method if k else f"{method}, where it stops", pairs))
    print_table(COLUMNS, lines)
    print_machine(torch.device("cpu"), "float32")


if __name__ == "__main__":
    main()

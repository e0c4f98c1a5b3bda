"""Edits that leave when they are done (`leaves: gap`) beside full iteration: what it saves and costs.

    python benchmarks/compare_leaving.py ../shared/data --edits 200 --trials 2 --iterations 5 > leaving.md

The folder holds counterfact-subset-1.json, counterfact-eligible-739.json and me-ppl-50.json, the published
files (experiments/paper.yaml says where from). The workflow makes the runs, in --work: each method with and
without, on the same cases; assisted ones on the eligible cases of either file, since SmolLM2 knows the
neighbors of one case in eight. What is finished there is not made again, and what was interrupted goes on.
Beside them cases.parquet has a row for each run, k and case, and iterations.parquet one for each run and k.
Printed are paired differences, gap minus never, at each k and where the proposed rule stops, with bootstrap
intervals of 95 %.
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

PROTOCOL, SEED, WAYS = "corrected", 0, ("_gap", "")  # what is compared, and with what
MEASURES = [f"{metric}_{kind}" for metric in METRICS for kind in KINDS]
COLUMNS = [
    "method",
    "k",
    *(name.replace("_", ", ") for name in MEASURES),
    "ME-PPL",
    "optimised from k = 2, gap / never",
    "s from k = 2, gap / never",
    "ratio",
]


def configuration(chosen: argparse.Namespace) -> Path:
    """The overlay of config.yaml, written into the working folder."""
    sources = {
        name: {"kind": "file", "path": str((chosen.data / f"{name}.json").resolve())}
        for name in ("counterfact-subset-1", "counterfact-eligible-739", "me-ppl-50")
    }
    model = {}
    if chosen.model:
        sources["its-folder"] = {"kind": "folder", "path": str(chosen.model.resolve())}
        model = {NAME: {"source": "its-folder"}}
    known = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["methods"]
    assisted = [name for name in chosen.methods if "neighbors" in known[name]]
    plain = [name for name in chosen.methods if name not in assisted]
    asked = [("counterfact", plain, {"edits": chosen.edits, "trials": chosen.trials})]
    fewer = {"edits": chosen.assisted if chosen.assisted == "all" else int(chosen.assisted), "eligible": True}
    asked += [(dataset, assisted, fewer) for dataset in ("counterfact", "counterfact_eligible")]
    shared = {"model": NAME, "corpus": "wikipedia-sample", "protocol": PROTOCOL, "misaligned": "drop"}
    shared |= {"iterations": chosen.iterations, "stop": "none"}
    runs = [
        shared | {"dataset": dataset, "methods": [f"{name}{way}" for name in names for way in WAYS]} | more
        for dataset, names, more in asked
        if names
    ]
    overlay = {
        "sources": sources,
        "models": model,
        "datasets": {
            "counterfact": {"format": "counterfact", "source": "counterfact-subset-1"},
            "counterfact_eligible": {"format": "counterfact", "source": "counterfact-eligible-739"},
        },
        "methods": {f"{name}_gap": {**known[name], "leaves": "gap"} for name in chosen.methods},
        "collapse": {"source": "me-ppl-50"},
        "runs": runs,
    }
    path = chosen.work / "leaving.yaml"
    write_text(path, yaml.safe_dump(overlay, sort_keys=False))
    return path


def make(chosen: argparse.Namespace, configs: Sequence[Path]) -> None:
    """Run the workflow as far as the scores; what it says goes to the standard error."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(chosen.work), "--cores", str(chosen.cores)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        [*command, "--configfile", *map(str, configs), "--", "results/summary/cases.parquet"],
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
    drawn = [resamples(len(gap), SEED, trial) @ gap / len(gap) for trial, gap in enumerate(gaps)]
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
    parser.add_argument("data", type=Path, help="folder of the three files")
    parser.add_argument("--work", type=Path, default=Path("leaving"), help="where the runs are made")
    parser.add_argument("--model", type=Path, help=f"a folder of {NAME}; by default it is fetched")
    parser.add_argument("--methods", nargs="+", default=["memit", "pmet", "na_memit"])
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--trials", type=int, default=2, help="disjoint samples")
    parser.add_argument("--assisted", default="all", help="eligible cases of each file, for assisted methods")
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--overlay", type=Path, nargs="+", default=[], help="other hyperparameters, say")
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    configs = [configuration(chosen), *(path.resolve() for path in chosen.overlay)]
    make(chosen, configs)
    results = chosen.work / "results"
    experiment = read_experiment([ROOT / "config.yaml", *configs], ROOT)
    cases = pd.DataFrame(parquet.read(results / "summary/cases.parquet", "cases"))
    made = {
        (run.method.name, run.entry.dataset, run.trial): iterations(
            results, path, experiment.edit_settings(run).recipe
        )
        for path, run in experiment.runs.items()
    }
    cases.to_parquet(chosen.work / "cases.parquet")
    names = ["method", "dataset", "trial"]
    pd.concat(made, names=names).reset_index(names).drop(columns="texts").to_parquet(
        chosen.work / "iterations.parquet"
    )
    by_run = dict(iter(cases.sort_values("case_id").groupby([*names, "k"])))

    def side(method: str, sample: tuple[str, int], k: int | None) -> tuple[pd.DataFrame, np.ndarray]:
        rows = made[method, *sample]
        k = k or selected(rows.to_dict("records"))[0]
        values = by_run[method, *sample, k][MEASURES].to_numpy(float)
        return rows[rows["k"] <= k], values.reshape(-1, len(METRICS), len(KINDS))

    lines = []
    for method in chosen.methods:
        samples = [(dataset, trial) for name, dataset, trial in made if name == method]
        for k in (*range(2, chosen.iterations + 1), None):  # the last one: where the rule stops
            pairs = []
            for sample in samples:
                (ours, mine), (theirs, other) = (side(f"{method}{way}", sample, k) for way in WAYS)
                pairs.append((ours, theirs, mine, other))
            lines.append(line(method if k else f"{method}, where it stops", pairs))
    print_table(COLUMNS, lines)
    print_machine(torch.device("cpu"), "float32")


if __name__ == "__main__":
    main()

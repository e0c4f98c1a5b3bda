"""What tuning found, as a file with EasyEdit's keys and as a page that says why."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.spelling import spelling
from reedit.methods.tunable import tunable
from reedit.report.rows.tuning import Tuned, values
from reedit.report.tables.render import aligned, bullets
from reedit.storage.schemas import METRICS
from reedit.tune.settings import FOUND

# what EasyEdit wants to be told besides, and refuses to be told of other algorithms
OF_TARGETS = {"fact_token": "subject_last", "stats_dir": "./data/stats", "mom2_dataset": "wikipedia"}
OF_TARGETS |= {"mom2_n_samples": 100000, "mom2_dtype": "float32"}
OF_FT = {"objective_optimization": "target_new", "weight_decay": 0, "kl_factor": 0, "norm_constraint": False}
WHAT = {  # in words, by role
    FOUND: "found",
    "in use": "in use until now",
    "most specific": "most specific of those that reach as much",
    "fastest": "fewest passes of those that reach as much",
}
SHOWN = 12  # attempts of a part


def hyperparameters_file(tuned: Tuned, name: str) -> str:
    """The text of a YAML file that EasyEdit and this workflow read alike; `name`: of the model.

    Beside the values: what EasyEdit wants to be told of the model, which this workflow checks.
    """
    found, algorithm, tokens = tuned.found, tuned.made_by["algorithm"], tuned.made_by["corpus_tokens"]
    said = {
        "alg_name": spelling(algorithm).files,
        "model_name": name,
        "device": 0,
        **values(found),
        **tuned.made_by["modules"],
        "model_parallel": False,
        **(OF_TARGETS if ALGORITHMS[algorithm].finds_targets else {}),
        **(OF_FT if algorithm == "ft_m" else {}),
    }
    means = ", ".join(f"{metric} {_percent(found, metric)}" for metric in METRICS)
    told = [
        f"Found by tuning, {found['edits']} facts edited at once; on as many held out: {means} (per cent).",
        f"{algorithm}.md beside this file says what else was tried, and by how much it differs.",
        *([f"For second moments of {tokens} tokens: fewer act as a smaller lambda."] if tokens else []),
    ]
    lines = "".join(f"# {line}\n" for line in told)
    return lines + yaml.safe_dump(said, sort_keys=False, default_flow_style=None, width=1000)


def markdown(tuned: Tuned, title: str) -> str:
    """The page: what was found, beside what else there is, on facts held out; then part by part."""
    made_by, found, optimized = tuned.made_by, tuned.found, tuned.of("optimization")
    keys = _keys(tuned)
    reached = ", ".join(f"{metric} of {wanted:g}" for metric, wanted in made_by["reach"].items())
    minutes = made_by["spent_seconds"] / 60
    lines = [
        f"# Tuning: {title}",
        "",
        f"Asked for: {reached or 'nothing'} to be reached, then as much"
        f" {' and '.join(made_by['maximise'])} as possible. {found['edits']} facts were edited at once;"
        f" {minutes:.0f} minutes on {made_by['device']}.",
        "",
        *held_out(tuned),
        "",
        "In per cent, on facts that no attempt had seen, with 95 % bootstrap intervals over them. Below each"
        " other row its difference to what was found, of the same facts; bold where its interval is free of"
        " 0.",
        "",
        "## Layers",
        "",
        f"Compared by editing with published values{_and_few(made_by['algorithm'])}; chosen by causal"
        " tracing, by one gradient pass, and evenly over the depth.",
        "",
        *aligned(_attempts(tuned.of("layers"), []), left=1),
        "",
        *(_optimization(optimized, keys) if optimized else []),
        "## SPREAD of saved targets" if optimized else "## Whole edits",
        "",
        *aligned(_attempts(tuned.of("spread"), keys), left=1),
        "",
    ]
    notes = [
        f"Model revision {made_by['model_revision']}, seed {made_by['seed']}, {made_by['protocol']} protocol,"
        f" {made_by['dtype']}. {len(made_by['searched'])} facts were searched with, and"
        f" {len(made_by['held_out'])} held out, of the {100 * made_by['share']:g} % of the dataset that no"
        " run of tuned values edits.",
        f"Second moments of {made_by['corpus_tokens']:,} tokens: what is found is for as many."
        if made_by["corpus_tokens"]
        else "No second moments were read.",
        "Bold rows: no other attempt of the part is better in every goal. At most"
        f" {SHOWN} are shown, the others are in the Parquet file.",
    ]
    return "\n".join([*lines, *bullets(notes)]) + "\n"


def _and_few(algorithm: str) -> str:
    """What was tried with each of the layers."""
    few = tunable(algorithm).spread
    return f" and a few of {', '.join(few)}" if few else ""


def _optimization(optimized: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    """The page's part about OPTIMIZATION."""
    return [
        "## OPTIMIZATION alone",
        "",
        "Bold: no other attempt is better in all of the target's NLL, the size of delta by that of h, and"
        " passes. SPREAD is tried with some of these targets.",
        "",
        *aligned(_attempts(optimized, _tuned(optimized, keys)), left=1),
        "",
    ]


def held_out(tuned: Tuned) -> list[str]:
    """What was found beside what else there is, on facts held out, as a Markdown table."""
    keys = _keys(tuned)
    grid = [["", "layers", *keys, *METRICS]]
    for row in tuned.of("held out"):
        said = values(row)
        cells = [_interval(row, metric) for metric in METRICS]
        grid.append([WHAT[row["role"]], _layers(row), *(_said(said.get(key)) for key in keys), *cells])
        if row["role"] != FOUND and row["more_efficacy"] is not None:
            grid.append(["", "", *[""] * len(keys), *(_difference(row, metric) for metric in METRICS)])
    return aligned(grid, left=1)


def _keys(tuned: Tuned) -> list[str]:
    """The hyperparameters but for the layers."""
    return [key for key in values(tuned.found) if key != "layers"]


def _attempts(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[list[str]]:
    """The rows worth most first: those of the front, then by what they reached."""
    numbers = [name for name in ("nll", "size", "passes") if rows[0][name] is not None]
    order = sorted(
        rows, key=lambda row: (not row["front"], -sum(row[m] or 0.0 for m in METRICS), row[numbers[0]])
    )
    grid = [["attempt", "layers", *keys, *numbers, *METRICS]]
    for row in order[:SHOWN]:
        said = values(row)
        cells = [str(row["number"]), _layers(row), *(_said(said.get(key)) for key in keys)]
        cells += [_said(row[name], ".3g") for name in numbers] + [_percent(row, metric) for metric in METRICS]
        grid.append([f"**{cell}**" if cell and row["front"] else cell for cell in cells])
    return grid


def _tuned(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    """The keys that differ between rows."""
    said = [values(row) for row in rows]
    return [key for key in keys if len({one.get(key) for one in said}) > 1]


def _layers(row: Mapping[str, Any]) -> str:
    first, *_, last = [*row["layers"], row["layers"][-1]]
    return str(first) if first == last else f"{first} to {last}"


def _said(value: Any, form: str = "g") -> str:
    return "" if value is None else format(value, form)


def _percent(row: Mapping[str, Any], metric: str) -> str:
    return "" if row[metric] is None else f"{100 * row[metric]:.1f}"


def _interval(row: Mapping[str, Any], metric: str) -> str:
    if row[metric] is None:
        return ""
    return f"{100 * row[metric]:.1f} [{100 * row[f'{metric}_low']:.1f}, {100 * row[f'{metric}_high']:.1f}]"


def _difference(row: Mapping[str, Any], metric: str) -> str:
    more, low, high = (row[f"more_{metric}{end}"] for end in ("", "_low", "_high"))
    text = f"{100 * more:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"**{text}**" if low > 0 or high < 0 else text

"""What causal tracing says: average indirect effects by layer, and the layers where the MLPs' is largest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reedit.report.figures.drawing import look, printable, save, style
from reedit.report.tables.render import aligned, bullets

WORDS = {  # of the kinds of state, in the order of their columns
    "hidden": "hidden state of one layer",
    "mlp": "MLP of {} layers",
    "attention": "attention of {} layers",
}


@dataclass(frozen=True)
class Effect:
    """The average indirect effect of restoring one kind of state in some layers, over facts."""

    kind: str
    layers: tuple[int, ...]
    mean: float
    error: float  # standard error over facts


@dataclass(frozen=True)
class Effects:
    """All of a model and dataset, with the probability of the answer before and after the noise."""

    facts: int
    p_clean: float
    p_corrupted: float
    effects: tuple[Effect, ...]

    def of(self, kind: str) -> list[Effect]:
        """Those of one kind, layer by layer."""
        return [effect for effect in self.effects if effect.kind == kind]

    @property
    def critical(self) -> Effect:
        """The window of layers whose MLPs, restored together, give back most.

        Not with layer 0, where another has a choice: its MLP knows the subject's token rather than its facts.
        """
        windows = self.of("mlp")
        return max(windows[1:] or windows, key=lambda effect: effect.mean)


def effects(rows: Sequence[Mapping[str, Any]]) -> Effects:
    """From rows of the schema ``tracing``: means within a fact over samples, then over facts."""
    by_fact: dict[tuple[str, int, int], dict[int, list[float]]] = {}
    for row in rows:
        key = (row["kind"], row["layer"], row["layers"])
        gained = row["p_restored"] - row["p_corrupted"]
        by_fact.setdefault(key, {}).setdefault(row["case_id"], []).append(gained)
    found = []
    for (kind, layer, count), facts in by_fact.items():
        means = np.array([np.mean(samples) for samples in facts.values()])
        error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
        found.append(Effect(kind, tuple(range(layer, layer + count)), float(means.mean()), float(error)))
    return Effects(
        len({row["case_id"] for row in rows}),
        float(np.mean([row["p_clean"] for row in rows])),
        float(np.mean([row["p_corrupted"] for row in rows])),
        tuple(found),
    )


def _words(found: Effects, kind: str) -> str:
    return WORDS[kind].format(len(found.of(kind)[0].layers))


def markdown(found: Effects, title: str, made_by: Mapping[str, Any]) -> str:
    """The effects in percentage points, and the line of hyperparameters that they speak for."""
    cells = {(effect.kind, effect.layers[0]): effect for effect in found.effects}
    grid = [["first layer", *(_words(found, kind) for kind in WORDS)]]
    for layer in sorted({layer for _, layer in cells}):
        effects = [cells.get((kind, layer)) for kind in WORDS]
        grid.append([str(layer), *(_cell(effect) if effect else "" for effect in effects)])
    critical = found.critical
    notes = [
        f"Average indirect effect in percentage points ± standard error over {found.facts} known facts: what"
        " restoring states at the subject's last token gives back of the answer's probability, which noise"
        f" takes from {100 * found.p_clean:.1f} % to {100 * found.p_corrupted:.1f} %.",
        "The layers named are the best window without layer 0, whose MLP gives back the subject's last token"
        " itself, which the noise has taken, rather than what is known of it.",
        "These are where the model's knowledge passes; where editing works best is another question (Hase et"
        " al. 2023). Take them as a first guess, and sweep around it: docs/hyperparameters.md.",
        f"Model revision {made_by['model_revision']}, seed {made_by['seed']}, {made_by['samples']} samples of"
        f" noise of {made_by['noise']} standard deviations.",
    ]
    lines = [f"Causal tracing: {title}", "", f"    layers: {list(critical.layers)}  # {_cell(critical)}", ""]
    return "\n".join([*lines, *aligned(grid, left=1), "", *bullets(notes)]) + "\n"


def _cell(effect: Effect) -> str:
    return f"{100 * effect.mean:.1f} ± {100 * effect.error:.1f}"


def draw(found: Effects, title: str, pdf: Path | str, png: Path | str) -> None:
    """Effects against the middle of their layers, in bands of two standard errors."""
    with style():
        figure = Figure(figsize=(7.5, 3.4), layout="constrained")
        panel = figure.subplots()
        critical = found.critical.layers
        panel.axvspan(critical[0] - 0.5, critical[-1] + 0.5, color="#eeeeee", zorder=0)
        for number, kind in enumerate(WORDS):
            of_kind, appearance = found.of(kind), look(number)
            middle = [np.mean(effect.layers) for effect in of_kind]
            mean = 100 * np.array([effect.mean for effect in of_kind])
            error = 200 * np.nan_to_num([effect.error for effect in of_kind])
            panel.fill_between(
                middle, mean - error, mean + error, color=appearance["color"], alpha=0.15, lw=0
            )
            panel.plot(middle, mean, label=_words(found, kind), **appearance)
        panel.axhline(0, color="#444444", linewidth=0.8)
        panel.set_title(printable(title), parse_math=False)
        panel.set_xlabel("layer restored at the subject's last token (middle of the window)")
        panel.set_ylabel("indirect effect, points")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend(frameon=False, title=f"grey: layers {critical[0]} to {critical[-1]}")
        save(figure, pdf, png)

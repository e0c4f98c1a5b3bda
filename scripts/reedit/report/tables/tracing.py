"""What causal tracing says, as Markdown: effects by layer, and the hyperparameters that they speak for."""

from collections.abc import Mapping
from typing import Any

from reedit.report.rows.tracing import KINDS, Effect, Effects
from reedit.report.tables.render import aligned, bullets


def markdown(found: Effects, title: str, made_by: Mapping[str, Any]) -> str:
    """The effects in percentage points, and the line of hyperparameters that they speak for."""
    cells = {(effect.kind, effect.layers[0]): effect for effect in found.effects}
    grid = [["first layer", *(found.words(kind) for kind in KINDS)]]
    for layer in sorted({layer for _, layer in cells}):
        effects = [cells.get((kind, layer)) for kind in KINDS]
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

"""A step's OPTIMIZATION or SPREAD alone, of all edits, whatever steps a recipe would make of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.journal import Journal
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.spread import update_of
from reedit.edit.workers import Workers
from reedit.methods.algorithms import Algorithm
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel


def whole(recipe: Recipe, edits: Sequence[Edit]) -> Step:
    """All edits at all layers."""
    return Step(1, 0, 0, tuple(range(len(edits))), recipe.layers, "k=1")


def found_of(
    model: LanguageModel,
    edits: Sequence[Edit],
    recipe: Recipe,
    at_once: MicroBatch | None = None,
    workers: Workers | None = None,
) -> Found:
    """What OPTIMIZATION finds."""
    editor = Editor(model, recipe, workers=workers or Workers())
    (found,) = (
        optimize(editor, edits, step, at_once)
        for step in editor.workers.begin([whole(recipe, edits)], recipe)
    )
    return found


def updates_of(
    model: LanguageModel,
    edits: Sequence[Edit],
    targets: Tensor,
    recipe: Recipe,
    factors: Mapping[int, Tensor],
) -> dict[int, Tensor]:
    """What SPREAD makes of the weights, by layer."""
    return update_of(Editor(model, recipe, factors), edits, whole(recipe, edits), targets).deltas


def spreading(algorithm: Algorithm, layers: list[int], weight: float) -> Recipe:
    """A recipe for SPREAD alone, of that lambda."""
    settings: dict[str, Any] = {"layers": layers, str(algorithm.weight): weight}
    return Recipe(algorithm, settings)


def apply_updates(model: LanguageModel, updates: Mapping[int, Tensor]) -> None:
    """Add every layer's update to its weight."""
    for layer, update in updates.items():
        model.set_weight(layer, model.weight(layer) + update)


def reporting(reported: list[int], journal: Journal | None = None) -> Workers:
    """Workers who say into a list how many passes they have made."""

    class Reporting(Workers):
        def begin(self, steps: Sequence[Step], recipe: Recipe) -> Iterator[Step]:
            for step in super().begin(steps, recipe):
                self._report = reported.append
                yield step

    return Reporting(journal)

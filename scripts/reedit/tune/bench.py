"""What an attempt at hyperparameters is tried on: a model, some facts edited at once, and their scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import save_file

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.iteration import Take, one_iteration, own_way, written
from reedit.edit.optimization.optimize import optimize
from reedit.evaluate.measures import case_means_of, prompt_means_of
from reedit.evaluate.scored_rows import Probe
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import PASSES, as_mapping, read_hyperparameters, reads_moments
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.storage.files import atomic
from reedit.storage.schemas import SCHEMAS
from reedit.storage.tensors import metadata_of, read_tensors
from reedit.tune.factors import Factors


@dataclass(frozen=True)
class Targets:
    """What OPTIMIZATION found for all facts at theta_1, by the last layer of a stage; of none, no stages."""

    stages: Mapping[int, Found]
    passes: float  # made of an edit, the mean; without targets, at most

    @property
    def nll(self) -> float:
        """Of the target tokens with delta in place: the mean over the facts of log p(theta_1, h-bar)."""
        return float(np.log(self._last.ppl_target).mean())

    @property
    def size(self) -> float:
        """||delta|| by ||h||, the mean over facts and vectors."""
        found = self._last
        return float((found.delta.norm(dim=2) / found.hidden.norm(dim=2)).mean())

    @property
    def told(self) -> dict[str, float]:
        """Its columns of the schema ``tuning``."""
        found = {"nll": self.nll, "size": self.size} if self.stages else {}
        return {**found, "passes": self.passes}

    def write(self, path: Path) -> None:
        """Save them; `read` has them back."""
        tensors = {"passes": torch.tensor(self.passes, dtype=torch.float64)}
        for layer, found in self.stages.items():
            tensors |= {f"{layer}.{name}": tensor for name, tensor in found.tensors().items()}
        vectors = next(iter(self.stages.values())).vectors
        with atomic(path) as temporary:
            save_file(tensors, temporary, metadata={"vectors": json.dumps(vectors)})

    @classmethod
    def read(cls, path: Path) -> "Targets":
        """What `write` has saved; InputError where it has been damaged since."""
        tensors, vectors = read_tensors(path), tuple(json.loads(metadata_of(path)["vectors"]))
        passes, parts = tensors.pop("passes"), {}
        for name, tensor in tensors.items():
            layer, _, part = name.partition(".")
            parts.setdefault(int(layer), {})[part] = tensor
        stages = {layer: Found.of_tensors(vectors, parts[layer]) for layer in sorted(parts)}
        return cls(stages, float(passes))

    @property
    def _last(self) -> Found:
        return self.stages[max(self.stages)]


@dataclass(frozen=True)
class Bench:
    """A model at theta_1, which every attempt leaves as it was, and the facts that all attempts edit."""

    model: LanguageModel
    algorithm: str
    protocol: str
    edits: Sequence[Edit]
    probes: Sequence[Probe]
    factors: Factors

    def optimize(self, hyperparameters: Mapping[str, Any]) -> Targets:
        """OPTIMIZATION alone, of every edit as if alone; nothing, of an algorithm that finds no targets."""
        recipe = self._recipe(hyperparameters)
        if not recipe.algorithm.finds_targets:
            return Targets({}, hyperparameters.get(PASSES.get(recipe.algorithm.takes), 1))
        editor, places = Editor(self.model, recipe), tuple(range(len(self.edits)))
        stages = enumerate(recipe.algorithm.stages(recipe.layers))
        steps = [Step(1, number, 0, places, layers, "tuning") for number, layers in stages]
        found = {
            step.layers[-1]: optimize(editor, self.edits, step).to("cpu")
            for step in editor.workers.begin(steps, recipe)
        }
        made = [sum(one.steps) / len(places) + 1 for one in found.values()]  # the last pass moves nothing
        return Targets(found, sum(made))

    def spread(self, hyperparameters: Mapping[str, Any], targets: Targets) -> np.ndarray:
        """The scores [facts, metrics, kinds] that SPREAD of these targets leads to; of none, the edit."""

        def take(editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
            found = targets.stages[step.layers[-1]].of(step.places).to(self.model.device)
            return written(editor, edits, step, found)

        return self._edited(hyperparameters, take if targets.stages else None)

    def edit(self, hyperparameters: Mapping[str, Any]) -> np.ndarray:
        """The scores [facts, metrics, kinds] of one iteration, as a run makes it."""
        return self._edited(hyperparameters)

    def prepare(self, windows: Sequence[list[int]], hyperparameters: Mapping[str, Any]) -> None:
        """Have what an attempt at any of these layers reads of the second moments, if it reads any."""
        if reads_moments(ALGORITHMS[self.algorithm], hyperparameters):
            self.factors.collect(sorted({layer for layers in windows for layer in layers}))

    def _edited(self, hyperparameters: Mapping[str, Any], take: Take | None = None) -> np.ndarray:
        recipe = self._recipe(hyperparameters)
        editor = Editor(self.model, recipe, self.factors.of(recipe))
        with self.model.restored(recipe.layers):
            one_iteration(editor, self.edits, 1, take or own_way(recipe))
            return self._scores()

    def _scores(self) -> np.ndarray:
        """Means over each fact's prompts, in ascending order of case_id, NaN where it has none."""
        rows = pa.Table.from_pylist(score(self.model, self.probes, 1), schema=SCHEMAS["scores"])
        return case_means_of(prompt_means_of(rows, "tuning"))[1]

    def _recipe(self, hyperparameters: Mapping[str, Any]) -> Recipe:
        read = as_mapping(read_hyperparameters(hyperparameters, self.algorithm, "tuning"))
        return Recipe(ALGORITHMS[self.algorithm], read, self.protocol)

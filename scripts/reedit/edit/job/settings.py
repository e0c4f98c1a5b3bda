"""All that determines a run's edits beside its input files, as the rule hands it to the job."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe

# as of a recipe
STEPS = ("batch", "spread_only", "leaves", "protects", "regularisers", "ideal_editor", "checkpoints")


@dataclass(frozen=True, kw_only=True)
class EditSettings:
    """The settings of an edit job. A new one has a default: finished jobs stay so (jobs/params.py)."""

    algorithm: str
    engine: Mapping[str, Any] = field(default_factory=lambda: {"name": "reedit"})  # or easyedit, path, commit
    repository: str  # that the model comes from
    assisting: int = 0  # neighbors in the loss
    choice: str = "random"  # of these neighbors
    prefixed: bool = False  # the first prefix before their prompts
    protocol: str
    subject_end: str | None = None  # where its last token stands, other than by the protocol
    wording: Mapping[str, Any] = field(default_factory=dict)  # separator, chat: see models/tokens.py
    hyperparameters: Mapping[str, Any]
    iterations: int
    extend_to: int | None = None
    stop: str = "none"
    dtype: str
    keep_weights: str
    nonfinite: str = "drop"
    batch: int | None = None
    spread_only: bool = False
    leaves: str = "never"
    protects: str | None = None  # as of methods/recipe.py, and the three below
    regularisers: Sequence[Mapping[str, Any]] = field(default_factory=list)
    ideal_editor: float | None = None
    checkpoints: int | None = None
    speed: str = "exact"
    seed: int
    trial: int
    code: str | None = None  # digest of the code that the job runs, where a rule starts it

    @property
    def recipe(self) -> Recipe:
        """What the run does with its cases."""
        names = ("hyperparameters", "protocol", "iterations", "stop", "extend_to", "nonfinite", "seed")
        told = {name: getattr(self, name) for name in (*names, *STEPS)}
        return Recipe(ALGORITHMS[self.algorithm], **told, engine=self.engine["name"])

    @property
    def told(self) -> dict[str, Any]:
        """The settings as provenance has them, those at their default too."""
        told = asdict(self)
        return told if self.code else {name: value for name, value in told.items() if name != "code"}

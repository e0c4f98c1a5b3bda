"""What `runs` say: entries, the methods they name, and the jobs they expand to (made in entries.py)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reedit.methods.algorithms import ALGORITHMS
from reedit.settings import definitions
from reedit.settings.definitions import EditingMethod


@dataclass(frozen=True, kw_only=True)
class Method(EditingMethod):
    """A definition of `methods`; of one that regularises another's updates that one's, and how it does so."""

    name: str
    regularises: str | None = None  # the method whose updates this one makes gentler
    regularisation: Mapping[str, Any] | None = None  # how: its name and its options

    @property
    def assisting(self) -> int:
        """Neighbors in the loss."""
        return self.neighbors.count if self.neighbors else 0

    @property
    def prefixed(self) -> bool:
        """Whether the first prefix stands before their prompts."""
        return bool(self.neighbors and self.neighbors.prefixed)

    @property
    def choice(self) -> str:
        """Which of them assist: random or first."""
        return self.neighbors.choice if self.neighbors else "random"

    @property
    def edited_as(self) -> str:
        """The name of the definition that says how it edits: its own, or of the one it regularises."""
        return self.regularises or self.name

    @property
    def family(self) -> str:
        """The algorithm and what makes this method another one than its published form, neighbors aside."""
        parts = [self.algorithm]
        parts += ["spread_only"] * self.spread_only + [self.leaves] * (self.leaves != "never")
        parts += [f"batch{self.batch}"] * (self.batch is not None)
        parts += [f"protects_{self.protects}"] * (self.protects is not None)
        parts += [one.by for one in self.regularisers] + ["simie"] * (self.ideal_editor is not None)
        parts += [self.regularisation["name"]] if self.regularisation else []
        return "+".join(parts)


@dataclass(frozen=True, kw_only=True)
class Entry(definitions.Entry):
    """One entry of `runs` with its methods, and with what the top level and the dataset say."""

    index: int
    methods: tuple[Method, ...]
    protocol: str
    keep_weights: str
    nonfinite: str
    apart: bool

    @property
    def assisting(self) -> list[list[Any]]:
        """[count, choice] of the assisted methods, each once, in a fixed order (plain lists for params)."""
        return sorted([n, c] for n, c in {(m.assisting, m.choice) for m in self.methods if m.assisting})

    @property
    def protocols(self) -> list[str]:
        """The protocols of its runs, each once, in a fixed order."""
        return sorted({method.protocol or self.protocol for method in self.methods})

    @property
    def filtered(self) -> bool:
        """Whether the entry needs the neighbor filter of Appendix B.2."""
        return self.eligible or bool(self.assisting)

    def some_method(self, has: str) -> bool:
        """Whether an algorithm of its methods has this field (methods/algorithms.py)."""
        return any(getattr(ALGORITHMS[method.algorithm], has) for method in self.methods)

    @property
    def sample(self) -> str:
        """Name of the split: all that decides which cases it has and what is asked of their tokens."""
        parts = [f"{self.edits}x{self.trials}"]
        parts += ["eligible"] * self.eligible
        parts += [f"{count}{choice}" for count, choice in self.assisting]
        parts += ["aligned"] * (self.misaligned == "drop")
        parts += ["apart"] * self.apart
        parts += ["distinct"] * self.some_method("distinct_keys")
        parts += ["prefixed"] * (self.first_token == "prefixed")
        parts += [f"{self.subject_end}-end"] if self.subject_end else []
        parts += self.protocols if self.protocols != ["corrected"] else []
        return "-".join(parts)


@dataclass(frozen=True)
class Run:
    """One editing job: a method on one trial of an entry."""

    entry: Entry
    method: Method
    trial: int

    @property
    def path(self) -> str:
        return f"{self.entry.model}/{self.entry.dataset}/{self.method.name}/trial{self.trial}"

    @property
    def protocol(self) -> str:
        return self.method.protocol or self.entry.protocol

    @property
    def prefixes(self) -> str:
        """Owner of the prefix templates: the model, or the method where it has its own."""
        own = f"{self.entry.model}/{self.method.edited_as}"
        return own if self.method.prefixes else self.entry.model

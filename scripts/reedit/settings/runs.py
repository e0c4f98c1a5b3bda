"""What the configuration's `runs` say: entries, the methods they name, and the jobs they expand to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS

OPTIONS = {"prune": "log_base", "rect": "keep"}  # of each regularisation
PUBLISHED = ("rome", "memit", "pmet")  # algorithms that the engine easyedit runs


@dataclass(frozen=True)
class Method:
    """A definition of `methods`: an algorithm, and how neighbors assist it."""

    name: str
    algorithm: str
    assisting: int  # neighbors in the loss, 0 for none
    prefixed: bool
    choice: str
    protocol: str | None  # overrides the entry's
    prefixes: bool  # has prefix templates of its own
    engine: str  # reedit, ours, or easyedit, a checkout of the published one at `checkout`
    checkout: str | None
    batch: int | None  # cases edited together, one batch after another; None for all
    spread_only: bool
    regularises: str | None = None  # the method whose updates this one makes gentler
    regularisation: Mapping[str, Any] | None = None  # how: its name and its options

    @property
    def edited_as(self) -> str:
        """The name of the definition that says how it edits: its own, or of the one it regularises."""
        return self.regularises or self.name

    @property
    def family(self) -> str:
        """The algorithm and what makes this method another one than its published form, neighbors aside."""
        parts = [self.algorithm]
        parts += ["spread_only"] * self.spread_only + [f"batch{self.batch}"] * (self.batch is not None)
        parts += [self.regularisation["name"]] if self.regularisation else []
        return "+".join(parts)


@dataclass(frozen=True)
class Entry:
    """One entry of `runs`, with defaults and overrides resolved."""

    index: int
    model: str
    dataset: str
    methods: tuple[Method, ...]
    corpus: str
    edits: int | str
    trials: int
    iterations: int
    extend_to: int | None
    stop: str
    eligible: bool
    protocol: str
    keep_weights: str
    misaligned: str
    nonfinite: str

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

    @property
    def sample(self) -> str:
        """Name of the split: all that decides which cases it has and what is asked of their tokens."""
        parts = [f"{self.edits}x{self.trials}"]
        parts += ["eligible"] * self.eligible
        parts += [f"{count}{choice}" for count, choice in self.assisting]
        parts += ["aligned"] * (self.misaligned == "drop")
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


def read_method(config: Mapping[str, Any], name: str) -> Method:
    """A definition of `methods` with its defaults."""
    definition = config["methods"][name]
    if "regularises" in definition:
        base = definition["regularises"]
        if "algorithm" not in config["methods"].get(base, {}):
            raise InputError(
                f"config: methods.{name}.regularises: found {base!r}, expected a method with an algorithm"
            )
        how = {key: value for key, value in definition.items() if key not in ("regularises", "by")}
        if wrong := sorted(set(how) - {OPTIONS[definition["by"]]}):
            raise InputError(f"config: methods.{name}.{wrong[0]}: not with by: {definition['by']}")
        how = {"name": definition["by"], **how}
        return replace(read_method(config, base), name=name, regularises=base, regularisation=how)
    neighbors, engine = definition.get("neighbors", {}), definition.get("engine", {"name": "reedit"})
    return Method(
        name=name,
        algorithm=definition["algorithm"],
        assisting=neighbors.get("count", 0),
        prefixed=neighbors.get("prefixed", False),
        choice=neighbors.get("choice", "random"),
        protocol=definition.get("protocol"),
        prefixes="prefixes" in definition,
        engine=engine["name"],
        checkout=engine.get("path"),
        batch=definition.get("batch"),
        spread_only=definition.get("spread_only", False),
    )


def _check_method(method: Method, entry: Entry) -> None:
    """Raise InputError for a method that this entry cannot have."""
    where = f"config: methods.{method.name}"
    if method.spread_only and len(ALGORITHMS[method.algorithm].stages((0, 1))) > 1:
        raise InputError(f"{where}: spread_only: not with {method.algorithm}, which has a target a layer")
    if method.spread_only and ALGORITHMS[method.algorithm].one_by_one:
        raise InputError(f"{where}: spread_only: not with {method.algorithm}, which edits one by one")
    if method.engine != "reedit" and (method.batch or method.spread_only):
        raise InputError(f"{where}: batch, spread_only: not with engine {method.engine}")
    if method.engine != "reedit" and method.algorithm not in PUBLISHED:
        raise InputError(
            f"{where}.engine: {method.engine} is asked for {method.algorithm}, expected one of {PUBLISHED}"
        )
    if method.regularises:
        if method.regularises not in [other.name for other in entry.methods]:
            raise InputError(
                f"config: runs[{entry.index}]: {method.name} regularises {method.regularises}, expected that"
                " among its methods too"
            )
        if entry.keep_weights != "all":
            raise InputError(
                f"config: runs[{entry.index}]: {method.name} regularises the weights of every k; expected"
                f" keep_weights: all, found {entry.keep_weights}"
            )


def read_entry(config: Mapping[str, Any], index: int) -> Entry:
    """runs[index] with the defaults and what the top level and the dataset say."""
    run = config["runs"][index]
    dataset = config["datasets"][run["dataset"]]
    entry = Entry(
        index=index,
        model=run["model"],
        dataset=run["dataset"],
        methods=tuple(read_method(config, name) for name in run["methods"]),
        corpus=run["corpus"],
        edits=run["edits"],
        trials=run.get("trials", 1),
        iterations=run["iterations"],
        extend_to=run.get("extend_to"),
        stop=run.get("stop", "none"),
        eligible=dataset.get("eligible", run.get("eligible", False)),
        protocol=run.get("protocol", config["protocol"]),
        keep_weights=run.get("keep_weights", config["keep_weights"]),
        misaligned=run.get("misaligned", "error"),
        nonfinite=run.get("nonfinite", config.get("nonfinite", "drop")),
    )
    for method in entry.methods:
        _check_method(method, entry)
    return entry


def distinct_runs(entries: Sequence[Entry]) -> dict[str, Run]:
    """All runs by path; raises InputError where two entries give one path with different settings."""
    found: dict[str, Run] = {}
    for entry in entries:
        for method in entry.methods:
            for trial in range(1, entry.trials + 1):
                run = Run(entry, method, trial)
                other = found.setdefault(run.path, run)
                same = replace(other.entry, index=0, methods=()) == replace(entry, index=0, methods=())
                if not same or other.entry.assisting != entry.assisting:
                    raise InputError(
                        f"config: runs[{other.entry.index}] and runs[{entry.index}] both give"
                        f" results/edits/{run.path} with different settings;"
                        " expected different definition names"
                    )
    return found

"""What a configuration may say, key by key, and what holds where it says nothing.

Frozen dataclasses, whose bounds pydantic checks at the door alone (configuration.py). `make schema` writes
rules/schemas/config.schema.yaml from them. No job imports this.
"""

from dataclasses import field, fields
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, WrapValidator

from reedit.evaluate.answers import NEW_TOKENS
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.protocols import PROTOCOLS
from reedit.methods.recipe import LEAVES, PROTECTS, REGULARISERS
from reedit.methods.speed import SPEEDS
from reedit.methods.stopping import RULES
from reedit.settings.dtypes import DTYPES
from reedit.settings.forms import (
    Count,
    Distinct,
    Filled,
    InnerPath,
    Label,
    Maybe,
    Name,
    Package,
    Repository,
    Revision,
    Seed,
    Sha256,
    Tokens,
    Url,
    Version,
    as_written,
    mapping,
)
from reedit.storage.schemas import METRICS

Algorithm = Literal[tuple(ALGORITHMS)]
Dtype = Literal[DTYPES]
Format = Literal["counterfact", "zsre", "easyedit", "knowedit", "mquake", "qaedit", "ripple"]
GROUPED = ("knowedit", "mquake", "ripple")  # formats that have groups of prompts
Reported = Literal["counterfact", "zsre"]  # datasets of the paper
Protocol = Literal[tuple(PROTOCOLS)]
KeepWeights = Literal["all", "last", "selected"]
Nonfinite = Literal["drop", "stop"]
SubjectEnd = Literal["exact", "published"]
Wrong = Literal["error", "drop"]
Stop = Literal[RULES]
Metric = Literal[METRICS]
Leaves = Literal[LEAVES]
Protects = Literal[PROTECTS]
Speed = Literal[SPEEDS]
ReportedModel = Literal["gpt2-xl", "gpt-j-6b", "llama-2-7b"]
ReportedMethod = Literal["rome", "memit", "pmet", "na_memit", "nap_memit", "na_pmet", "nap_pmet"]


@mapping
class From:
    """What comes from one of the sources, which are told apart by their kind."""

    source: str


@mapping
class LocalSource:
    kind: Literal["file", "folder"]
    path: Filled
    sha256: Maybe[Sha256] = None


@mapping
class Part:
    package: Package
    version: Version
    member: InnerPath


@mapping
class Wheel(Part):
    kind: Literal["wheel"]
    sha256: Sha256


@mapping
class Wheels:
    kind: Literal["wheels"]
    file: Name
    parts: Annotated[list[Part], Field(min_length=1)]
    sha256: Sha256


@mapping
class Download:
    kind: Literal["url"]
    url: Url
    sha256: Sha256


@mapping
class Hub:
    kind: Literal["hub"]
    repo: Repository
    revision: Revision
    repo_type: Literal["model", "dataset"] = "model"
    files: Maybe[Distinct[InnerPath]] = None  # of a dataset always
    sha256: dict[str, Sha256] = field(default_factory=dict)  # by file


Source = Annotated[LocalSource | Wheel | Wheels | Download | Hub, Field(discriminator="kind")]


@mapping
class Prefixes:
    """Prefix templates: count, tokens and seed (a method says only those it has of its own), or a source."""

    source: Maybe[str] = None
    count: Maybe[Annotated[int, Field(ge=0, multiple_of=5)]] = None
    tokens: Maybe[
        Annotated[
            Count | Annotated[list[Count], Field(min_length=1)],
            Field(description="a number of tokens of at least 1, or a list of such numbers"),
        ]
    ] = None
    seed: Maybe[Seed] = None

    @property
    def given(self) -> dict[str, Any]:
        """What is said of them."""
        return {name: value for name, value in vars(self).items() if value is not None}


@mapping
class Shape:
    """Sizes of a model: parameters in all, layers, d, keys of an edited module, vocabulary."""

    parameters: Annotated[float, Field(gt=0)]
    layers: Count
    width: Count
    keys: Count
    vocabulary: Count
    architecture: Maybe[str] = None  # its model_type, where no config.json is at hand

    @property
    def block(self) -> float:
        """Parameters of one layer."""
        return (self.parameters - self.vocabulary * self.width) / self.layers


@mapping
class Model:
    source: str
    dtype: Dtype
    prefixes: Prefixes
    processes: Count = 1
    chat: bool = False  # edit and score through the tokenizer's chat template
    reported_as: Maybe[ReportedModel] = None
    tokenizer: Maybe[From] = None  # for make rehearse, where the model's own source is not at hand
    shape: Maybe[Shape] = None


@mapping
class Dataset:
    format: Format
    source: Annotated[
        str | Distinct[str], Field(description="the name of a source, or a list of names, each once")
    ]
    eligible: Maybe[bool] = None  # in place of what a run says
    cases: Maybe[Count] = None  # for make plan alone
    separator: str = " "  # between prompt and target
    malformed: Wrong = "error"  # cases that cannot be read
    reported_as: Maybe[Reported] = None
    groups: Maybe[bool] = None  # whether cases have some; as the format has it where nothing is said
    references: Maybe[From] = None  # texts of subjects that have an object, for consistency

    @property
    def grouped(self) -> bool:
        """Whether prompts in groups are asked of its cases (prepare/groups.py)."""
        return self.format in GROUPED if self.groups is None else self.groups

    @property
    def sources(self) -> list[str]:
        """Names of the sources whose files make it, in their order."""
        return [self.source] if isinstance(self.source, str) else list(self.source)


@mapping
class Texts:
    format: Literal["lines", "wikipedia-dump", "hub"]
    source: str
    samples: Count
    max_tokens: Count
    tokens: Maybe[Tokens] = None  # in all: the corpus ends where either is reached


@mapping
class ReleasedStatistics:
    format: Literal["released-statistics"]
    source: str
    check: str  # the corpus on whose texts they are compared with the model


Corpus = Annotated[Texts | ReleasedStatistics, Field(discriminator="format")]


@mapping
class Neighbors:
    count: Count
    prefixed: bool = False
    choice: Literal["random", "first"] = "random"


@mapping
class Ours:
    name: Literal["reedit"] = "reedit"
    path: Maybe[Filled] = None  # overlays merge deeply: a path may be left over


@mapping
class EasyEdit:
    name: Literal["easyedit"]
    path: Filled


Share = Annotated[float, Field(gt=0, le=1), WrapValidator(as_written)]


@mapping
class Regulariser:
    by: Literal[tuple(REGULARISERS)]
    log_base: Maybe[Annotated[float, Field(gt=1), WrapValidator(as_written)]] = None  # of prune
    keep: Maybe[Share] = None  # of rect
    limit: Maybe[Annotated[float, Field(gt=1), WrapValidator(as_written)]] = None  # of nas
    share: Maybe[Share] = None  # of sphere, as the next one
    strength: Maybe[Share] = None

    @property
    def options(self) -> dict[str, float]:
        """How it regularises, as far as it says."""
        given = {one.name: getattr(self, one.name) for one in fields(Regulariser) if one.name != "by"}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def told(self) -> dict[str, Any]:
        """The same with its name, as params of a rule have it."""
        return {"name": self.by, **self.options}


@mapping
class EditingMethod:
    algorithm: Algorithm
    batch: Maybe[Count] = None
    checkpoints: Maybe[Count] = None  # scored after every so many batches, too
    protects: Maybe[Protects] = None  # whose keys an update leaves alone; None: as the algorithm does
    regularisers: list[Regulariser] = field(default_factory=list)  # of each batch's update, in this order
    ideal_editor: Maybe[Annotated[float, Field(gt=0), WrapValidator(as_written)]] = None  # lambda of SimIE
    spread_only: bool = False
    leaves: Leaves = "never"
    protocol: Maybe[Protocol] = None  # in place of an entry's
    hyperparameters: dict[str, Any] = field(default_factory=dict)  # in place of the algorithm's, key by key
    reported_as: Maybe[ReportedMethod] = None
    against: Maybe[str] = None  # the method that paired differences compare it with
    prefixes: Maybe[Prefixes] = None
    engine: Annotated[Ours | EasyEdit, Field(discriminator="name")] = Ours()
    neighbors: Maybe[Neighbors] = None


@mapping
class RegularisingMethod(Regulariser):
    regularises: str  # the method whose updates it makes gentler after the fact
    against: Maybe[str] = None


def _kind_of_method(definition: Any) -> str:
    regularises = isinstance(definition, dict) and "regularises" in definition
    return "RegularisingMethod" if regularises else "EditingMethod"


Method = Annotated[
    Annotated[EditingMethod, Tag("EditingMethod")] | Annotated[RegularisingMethod, Tag("RegularisingMethod")],
    Discriminator(_kind_of_method),
]


HyperparametersOrFile = Annotated[
    dict[str, Any] | str, Field(description="a mapping, or the path of one of EasyEdit's files")
]


@mapping
class Entry:
    """An entry of `runs`; where it says no protocol, keep_weights or nonfinite, the general ones hold."""

    model: str
    dataset: str
    methods: Distinct[str]
    corpus: str
    edits: Annotated[Literal["all"] | Count, Field(description="all, or a whole number of at least 1")]
    iterations: Count
    trials: Annotated[int, Field(ge=1, le=1000)] = 1  # each is a job
    extend_to: Maybe[Count] = None
    stop: Stop = "none"
    speed: Speed = "exact"
    eligible: bool = False
    protocol: Maybe[Protocol] = None
    keep_weights: Maybe[KeepWeights] = None
    nonfinite: Maybe[Nonfinite] = None
    misaligned: Wrong = "error"
    apart: Maybe[bool] = None  # leave out the cases kept for tuning; None: where hyperparameters were tuned
    first_token: Literal["bare", "prefixed"] = "bare"  # a subject that is the first token of all
    subject_end: Maybe[SubjectEnd] = None  # where a token crosses it; None: as the protocol has it


@mapping
class Export:
    k: Annotated[
        Literal["selected", "last"] | Count,
        Field(description="selected, last, or a whole number of at least 1"),
    ] = "selected"


@mapping
class Tracing:
    facts: Maybe[Count] = None
    samples: Maybe[Count] = None
    noise: Maybe[Annotated[float, Field(gt=0)]] = None
    window: Maybe[Count] = None


@mapping
class Budget:
    """What tuning may take: minutes in all, and edits that OPTIMIZATION works on."""

    minutes: Annotated[float, Field(gt=0)] = 30
    edits: Maybe[Count] = None


@mapping
class Tuning:
    """How results/hyperparameters/{model}/{algorithm}.yaml is found."""

    dataset: Maybe[str] = None  # None: that of the first run of the model, else of the first run
    corpus: Maybe[str] = None  # likewise
    facts: Count = 24  # that are edited at once; as many are held out
    share: Annotated[float, Field(gt=0, lt=1), WrapValidator(as_written)] = 0.25  # of the cases, kept apart
    reach: dict[Metric, Annotated[float, Field(ge=0, le=100)]] = field(
        default_factory=lambda: {"efficacy": 95}
    )
    maximise: Annotated[Distinct[Metric], Field(min_length=1)] = field(
        default_factory=lambda: ["generalization", "specificity"]
    )
    budget: Budget = Budget()


@mapping
class Rehearsal:
    """How little of an experiment make rehearse runs."""

    edits: Count
    trials: Count
    iterations: Count
    samples: Count


@mapping
class Downstream:
    tasks: Distinct[Name]
    limit: Maybe[Count] = None
    folder: Maybe[Filled] = None


@mapping
class ComparedFilter:
    """The neighbor filter run over `pool` beside the list of cases of `published`."""

    model: str
    pool: str
    published: str


@mapping
class Generation:
    """How models are let speak for themselves (evaluate/speech.py)."""

    chat: bool = True  # through the tokenizer's chat template, where it has one
    tokens: Count = NEW_TOKENS  # at most
    judge: Maybe[str] = None  # a model, or plugin:NAME, that judges what was said, in place of the aliases


@mapping
class Report:
    labels: dict[str, Label] = field(default_factory=dict)
    intervals: bool = False
    generation: bool = False  # what models say by themselves, beside teacher forcing
    fluency: bool = False  # of the texts that models go on with, and their consistency
    norms: bool = True  # of the edited weights, by singular values
    eligible: list[ComparedFilter] = field(default_factory=list)


@mapping
class Config:
    """Definitions are mappings, so that overlays merge; the selection is the list `runs`."""

    sources: dict[Name, Source]
    models: dict[Name, Model]
    datasets: dict[Name, Dataset]
    corpora: dict[Name, Corpus]
    methods: dict[Name, Method]
    hyperparameters: dict[Algorithm, dict[Name, HyperparametersOrFile]]
    protocol: Protocol
    seed: Seed
    keep_weights: KeepWeights
    nonfinite: Nonfinite = "drop"
    subject_end: Maybe[SubjectEnd] = None
    collapse: From
    runs: Annotated[list[Entry], Field(min_length=1)]
    export: Export = Export()
    tracing: Maybe[Tracing] = None
    tuning: Tuning = Tuning()
    rehearsal: Maybe[Rehearsal] = None
    downstream: Maybe[Downstream] = None
    generation: Generation = Generation()
    report: Report = Report()

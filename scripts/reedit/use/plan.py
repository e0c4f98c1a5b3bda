"""What an experiment takes before it is run: its jobs, and memory, disk and hours of each."""

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.report.tables.render import aligned
from reedit.settings.definitions import Shape, Texts
from reedit.settings.dtypes import DTYPES
from reedit.settings.experiment import Experiment
from reedit.settings.runs import Run
from reedit.storage import parquet
from reedit.use.costs import (
    GB,
    Cost,
    Sizes,
    edit_cost,
    filter_cost,
    generation_cost,
    groups_cost,
    iteration_work,
    moment_cost,
    norm_cost,
    score_cost,
    text_cost,
    tokens_read,
)


@dataclass(frozen=True)
class Device:
    """A device: GB of memory, operations a second by dtype and in double precision.

    `measured` tells whether they are what finished runs sustained, or the peaks that its maker gives.
    """

    name: str
    memory: float
    speeds: Mapping[str, float]
    double: float
    measured: bool = False

    def hours(self, cost: Cost, dtype: str) -> float:
        share = cost.share
        if self.measured:
            share /= 0.5
        elif dtype != "float32":
            share /= 2  # memory keeps tensor cores waiting
        return (cost.work / (self.speeds[dtype] * share) + cost.double / (self.double * 0.5)) / 3600


ASSUMED = "half of it assumed in float32, a quarter elsewhere (ROME: 15 and 8 %)"
GPUS = (
    Device("A100", 80, dict(zip(DTYPES, (19.5e12, 156e12, 312e12, 312e12), strict=True)), 9.7e12),
    Device("L40S", 48, dict(zip(DTYPES, (91.6e12, 183e12, 362e12, 362e12), strict=True)), 1.4e12),
)


def shape_of(experiment: Experiment, model: str) -> Shape:
    """The shape that a model's definition gives; InputError where it gives none."""
    shape = experiment.asked.models[model].shape
    if shape is None:
        raise InputError(
            f"config: models.{model}.shape: missing, needed by make plan: parameters, layers, width, keys,"
            " vocabulary"
        )
    return shape


def edits_of(experiment: Experiment, run: Run) -> int:
    """How many edits a run makes; of `edits: all` as many as the dataset's `cases` say."""
    if run.entry.edits == "all":
        return cases_of(experiment, run.entry.dataset) // run.entry.trials
    return run.entry.edits


def cases_of(experiment: Experiment, dataset: str) -> int:
    """How many cases a dataset's definition says that it has; InputError where it says nothing."""
    cases = experiment.asked.datasets[dataset].cases
    if cases is None:
        raise InputError(f"config: datasets.{dataset}.cases: missing, needed by make plan")
    return cases


def job_counts(experiment: Experiment) -> dict[str, int]:
    """Jobs of each rule up to the scores, where nothing has been made yet."""
    runs = list(experiment.runs.values())
    moments = {(run.entry.model, run.entry.corpus) for run in runs if experiment.needs_moments(run)}
    filtered = {(run.entry.model, run.entry.dataset) for run in runs if run.entry.filtered}
    filtered |= {(pair["model"], pair["pool"]) for pair in experiment.compared_filters}
    report = experiment.asked.report
    return {
        "fetch_source": len(experiment.used_sources),
        "prepare_model": len(experiment.models),
        "normalise_facts": len(experiment.datasets),
        "filter_neighbors": len(filtered),
        "sample_split": len({(run.entry.model, run.entry.dataset, run.entry.sample) for run in runs}),
        "sample_prefixes": len({run.prefixes for run in runs}),
        "collect_moments": len(moments),
        "decompose_moments": len(
            {(r.entry.model, r.entry.corpus) for r in runs if experiment.needs_spectra(r)}
        ),
        "edit_facts": sum(not run.method.regularises for run in runs),
        "regularise_edits": sum(bool(run.method.regularises) for run in runs),
        "score_edits": len(runs),
        "check_collapse": len(runs),
        "ask_groups": len(experiment.grouped_runs),
        "generate_answers": len(runs) * report.generation,
        "generate_texts": len(runs) * report.fluency,
        "measure_norms": len(runs) * report.norms,
    }


@dataclass
class Group:
    """Jobs of one model that cost the same: what they work on, each name once, and how many they are."""

    model: str
    cost: Cost
    names: dict[str, None] = field(default_factory=dict)
    count: int = 0

    def add(self, *names: str) -> None:
        self.names |= dict.fromkeys(names)
        self.count += 1


def job_costs(experiment: Experiment) -> list[Group]:
    """Every job that takes long, with those that cost the same together."""
    found: dict[tuple[str, Cost], Group] = {}
    shared: dict[tuple[str, str, str], Cost] = {}
    report, spoken = experiment.asked.report, experiment.asked.generation.tokens

    def add(model: str, cost: Cost, *names: str) -> None:
        found.setdefault((model, cost), Group(model, cost)).add(*names)

    for run in experiment.runs.values():
        entry, shape = run.entry, shape_of(experiment, run.entry.model)
        recipe = experiment.edit_settings(run).recipe
        edits, iterations = edits_of(experiment, run), entry.extend_to or entry.iterations
        if not run.method.regularises:
            templates, processes = experiment.template_count(run.prefixes), experiment.processes(run)
            sizes = Sizes(edits, templates, run.method.assisting, processes)
            add(entry.model, edit_cost(shape, recipe, sizes), run.method.name)
        along = recipe.along(edits)
        kept = iterations * (1 + sum(along) / edits)  # a checkpoint is scored on what is edited by then
        add(entry.model, score_cost(shape, edits, kept), entry.dataset)
        if experiment.asked.datasets[entry.dataset].grouped:
            add(entry.model, groups_cost(shape, edits, kept, spoken), entry.dataset)
        if report.generation:
            add(entry.model, generation_cost(shape, edits, kept, spoken), entry.dataset)
        if report.fluency:
            add(entry.model, text_cost(shape, edits, kept), entry.dataset)
        if report.norms:
            states = iterations * (1 + len(along))
            add(entry.model, norm_cost(shape, recipe.layers, states), entry.dataset)
        if experiment.needs_moments(run):
            layers = experiment.layers(entry.model, entry.corpus)
            corpus = experiment.asked.corpora[entry.corpus]
            tokens = tokens_read(shape, corpus) if isinstance(corpus, Texts) else 0
            shared["collect_moments", entry.model, entry.corpus] = moment_cost(shape, layers, tokens)
        if entry.filtered:
            cost = filter_cost(shape, cases_of(experiment, entry.dataset))
            shared["filter_neighbors", entry.model, entry.dataset] = cost
    for (_, model, name), cost in shared.items():
        add(model, cost, name)
    return sorted(found.values(), key=lambda group: (group.model, group.cost.rule))


def disk_of(experiment: Experiment) -> float:
    """GB of disk that all jobs take, and the models, as fetched and as prepared."""
    return sum(group.count * group.cost.disk for group in job_costs(experiment)) + disk_of_models(experiment)


def disk_of_models(experiment: Experiment) -> float:
    """GB of the models, as fetched and as prepared."""
    models = dict.fromkeys(run.entry.model for run in experiment.runs.values())
    return sum(2 * shape_of(experiment, model).parameters * 4 / GB for model in models)


def calibrated(experiment: Experiment, results: Path) -> list[Device]:
    """The devices that finished runs in `results` were made on, with the speed that they sustained.

    Double precision is taken as a half of that.
    """
    work: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for path in sorted(results.glob("edits/*/*/*/*/iterations.parquet")):
        made_by = parquet.read_provenance(path)
        model = path.relative_to(results / "edits").parts[0]
        definition = experiment.asked.models.get(model)
        if not definition or not definition.shape:
            continue
        if (
            "regularisation" in made_by
            or made_by.get("engine", {}).get("name") == "easyedit"
            or made_by.get("spread_only")
            or made_by.get("leaves") == "gap"
            or made_by.get("speed") == "fast"
        ):
            continue
        algorithm = ALGORITHMS[made_by["algorithm"]]
        if algorithm.one_by_one:  # keeps no GPU busy
            continue
        rows = parquet.read(path, "iterations")
        device = made_by.get("device_name") or made_by["device"]
        names = ("edits", "prefix_templates", "assisting")
        sizes = Sizes(*(made_by[name] for name in names), made_by.get("processes", 1))
        recipe = Recipe(algorithm, made_by["hyperparameters"])
        work[device] += len(rows) * iteration_work(definition.shape, recipe, sizes)
        seconds[device] += sum(row["seconds_total"] for row in rows)
    speeds = {name: work[name] / seconds[name] for name in work}
    return [
        Device(name, float("inf"), dict.fromkeys(DTYPES, speed), speed / 2, measured=True)
        for name, speed in speeds.items()
    ]


def plan_lines(experiment: Experiment, results: Path) -> list[str]:
    """The plan as Markdown: jobs of each rule, then what those take that take long."""
    devices = [*GPUS, *calibrated(experiment, results)]
    counts = ", ".join(f"{count} {rule}" for rule, count in job_counts(experiment).items() if count)
    head = ["model", "rule", "of", "jobs", "GPU, GB", "memory, GB", "disk, GB"]
    head += [f"h, {device.name}" for device in devices]
    rows, groups = [], job_costs(experiment)
    dtypes = {name: model.dtype for name, model in experiment.asked.models.items()}
    for group in groups:
        cost, names = group.cost, textwrap.shorten(", ".join(group.names), 48, placeholder=" ...")
        fits = [
            device.hours(cost, dtypes[group.model]) if cost.gpu <= device.memory else None
            for device in devices
        ]
        sizes = [f"{value:.1f}" for value in (cost.gpu, cost.host, cost.disk)]
        hours = ["too large" if value is None else f"{value:.2f}" for value in fits]
        rows.append([group.model, cost.rule, names, str(group.count), *sizes, *hours])
    disk = sum(group.count * group.cost.disk for group in groups)
    hours = [
        sum(group.count * device.hours(group.cost, dtypes[group.model]) for group in groups)
        for device in devices
    ]
    rows.append(["all", "", "", "", "", "", f"{disk:.1f}", *(f"{value:.1f}" for value in hours)])
    notes = [
        "Per job; the last line is of all. Every pass and every k that a run may make is counted.",
        f"Beside this, {disk_of_models(experiment):.0f} GB of disk for models, as fetched and as prepared.",
    ]
    if any(experiment.processes(run) > 1 for run in experiment.runs.values()):
        notes.append(
            "A job of several processes holds as many GPUs; hours and GPU memory are of one of them."
        )
    used = [dtype for dtype in DTYPES if dtype in {dtypes[group.model] for group in groups}]
    for device in devices:
        how = "as finished runs here sustained" if device.measured else ASSUMED
        speeds = ", ".join(f"{device.speeds[dtype] / 1e12:.3g} TFLOP/s in {dtype}" for dtype in used)
        notes.append(f"{device.name}: {speeds}, {how}.")
    return [f"Jobs: {counts}; then tables and figures.", "", *aligned([head, *rows], left=3), "", *notes]

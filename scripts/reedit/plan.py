"""What an experiment takes before it is run: its jobs, and memory, disk and hours of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reedit import parquet
from reedit.costs import Cost, Shape, edit_cost, filter_cost, iteration_work, moment_cost, score_cost
from reedit.errors import InputError
from reedit.experiment import Experiment, Run


@dataclass(frozen=True)
class Device:
    """A device: GB of memory, operations a second in fp32 and in double precision.

    `measured` tells whether `speed` is what a finished run sustained, or the peak that its maker gives.
    """

    name: str
    memory: float
    speed: float
    double: float
    measured: bool = False

    def hours(self, cost: Cost) -> float:
        share = cost.share / 0.5 if self.measured else cost.share
        return (cost.work / (self.speed * share) + cost.double / (self.double * 0.5)) / 3600


GPUS = (Device("A100", 80, 19.5e12, 9.7e12), Device("L40S", 48, 91.6e12, 1.4e12))


def shape_of(experiment: Experiment, model: str) -> Shape:
    """The shape that a model's definition gives; InputError where it gives none."""
    given = experiment.config["models"][model].get("shape")
    if given is None:
        raise InputError(
            f"config: models.{model}.shape: missing, needed by make plan: parameters, layers, width, keys,"
            " vocabulary"
        )
    return Shape(**given)


def edits_of(experiment: Experiment, run: Run) -> int:
    """How many edits a run makes; of `edits: all` as many as the dataset's `cases` say."""
    if isinstance(run.entry.edits, int):
        return run.entry.edits
    return cases_of(experiment, run.entry.dataset) // run.entry.trials


def cases_of(experiment: Experiment, dataset: str) -> int:
    """How many cases a dataset's definition says that it has; InputError where it says nothing."""
    cases = experiment.config["datasets"][dataset].get("cases")
    if cases is None:
        raise InputError(f"config: datasets.{dataset}.cases: missing, needed by make plan")
    return cases


def job_counts(experiment: Experiment) -> dict[str, int]:
    """Jobs of each rule up to the scores, where nothing has been made yet."""
    runs = list(experiment.runs.values())
    moments = {(run.entry.model, run.entry.corpus) for run in runs if experiment.needs_moments(run)}
    return {
        "fetch_source": len(experiment.used_sources),
        "prepare_model": len({run.entry.model for run in runs}),
        "normalise_facts": len({run.entry.dataset for run in runs}),
        "filter_neighbors": len({(r.entry.model, r.entry.dataset) for r in runs if r.entry.filtered}),
        "sample_split": len({(run.entry.model, run.entry.dataset, run.entry.sample) for run in runs}),
        "sample_prefixes": len({run.prefixes for run in runs}),
        "collect_moments": len(moments),
        "edit_facts": len(runs),
        "score_edits": len(runs),
        "check_collapse": len(runs),
    }


def job_costs(experiment: Experiment) -> list[tuple[str, str, int, Cost]]:
    """(model, what it works on, how many such jobs, cost of one) of every job that takes long."""
    found: Counter[tuple[str, str, Cost]] = Counter()
    shared: dict[tuple[str, str, str], Cost] = {}
    for run in experiment.runs.values():
        entry, shape = run.entry, shape_of(experiment, run.entry.model)
        edits, iterations = edits_of(experiment, run), entry.extend_to or entry.iterations
        moments = experiment.needs_moments(run)
        settings, templates = experiment.hyperparameters(run), experiment.template_count(run.prefixes)
        edit = edit_cost(shape, settings, templates, run.method.assisting, edits, iterations, moments)
        found[entry.model, f"{run.method.name}, {entry.dataset}", edit] += 1
        found[entry.model, entry.dataset, score_cost(shape, edits, iterations)] += 1
        if moments:
            corpus = experiment.config["corpora"][entry.corpus]
            size = corpus.get("samples", 0), corpus.get("max_tokens", 0)
            layers = experiment.layers(entry.model, entry.corpus)
            shared["collect_moments", entry.model, entry.corpus] = moment_cost(shape, layers, *size)
        if entry.filtered:
            cost = filter_cost(shape, cases_of(experiment, entry.dataset))
            shared["filter_neighbors", entry.model, entry.dataset] = cost
    for (_, model, what), cost in shared.items():
        found[model, what, cost] += 1
    return [(model, what, count, cost) for (model, what, cost), count in found.items()]


def calibrated(experiment: Experiment, results: Path) -> list[Device]:
    """The devices that finished runs in `results` were made on, with the speed that they sustained.

    Double precision is taken as a half of that.
    """
    work: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for path in sorted(results.glob("edits/*/*/*/*/iterations.parquet")):
        made_by = parquet.read_provenance(path)
        model = path.relative_to(results / "edits").parts[0]
        given = experiment.config["models"].get(model, {}).get("shape")
        if given is None or made_by.get("algorithm") == "rome":
            continue
        rows = parquet.read(path, "iterations")
        device = made_by.get("device_name") or made_by["device"]
        sizes = made_by["prefix_templates"], made_by["assisting"], made_by["edits"]
        work[device] += len(rows) * iteration_work(Shape(**given), made_by["hyperparameters"], *sizes)
        seconds[device] += sum(row["seconds_total"] for row in rows)
    return [
        Device(name, float("inf"), work[name] / seconds[name], work[name] / seconds[name] / 2, measured=True)
        for name in work
    ]


def plan_lines(experiment: Experiment, results: Path) -> list[str]:
    """The plan as Markdown: jobs of each rule, then what those take that take long."""
    devices = [*GPUS, *calibrated(experiment, results)]
    counts = job_counts(experiment)
    lines = ["Jobs: " + ", ".join(f"{count} {rule}" for rule, count in counts.items() if count) + "."]
    lines += ["and those that make tables, figures and the PDF.", ""]
    names = [device.name for device in devices]
    head = ["model", "rule", "of", "jobs", "GPU, GB", "memory, GB", "disk, GB", *(f"h, {n}" for n in names)]
    rows, costs = [], job_costs(experiment)
    for model, what, count, cost in sorted(costs, key=lambda row: (row[0], row[3].rule)):
        hours = [
            f"{device.hours(cost):.2f}" if cost.gpu <= device.memory else "too large" for device in devices
        ]
        sizes = [f"{value:.1f}" for value in (cost.gpu, cost.host, cost.disk)]
        rows.append([model, cost.rule, what, str(count), *sizes, *hours])
    disk = sum(count * cost.disk for _, _, count, cost in costs)
    total = [f"{sum(count * device.hours(cost) for _, _, count, cost in costs):.1f}" for device in devices]
    rows.append(["all", "", "", str(sum(count for _, _, count, _ in costs)), "", "", f"{disk:.1f}", *total])
    lines += table(head, rows)
    weights = sum(
        2 * shape_of(experiment, model).parameters * 4 / 1e9
        for model in {run.entry.model for run in experiment.runs.values()}
    )
    lines += [
        "",
        f"Beside these, {weights:.0f} GB of disk for the models, as fetched and as prepared, in fp32.",
    ]
    lines += [
        "Hours and memory are of one such job, the last line of all; every k that a run may make is counted."
    ]
    for device in devices:
        how = (
            "as finished runs here sustained" if device.measured else "half of the peak, assumed (ROME: 15 %)"
        )
        lines.append(f"{device.name}: {device.speed / 1e12:.3g} TFLOP/s in fp32, {how}.")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned Markdown; the first three columns are text."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        " | ".join(
            cell.ljust(w) if i < 3 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [head, ["-" * width for width in widths], *rows]
    ]
    return [f"| {line} |" for line in lines]

"""What a user wants to know before the hours are spent, from what a rehearsal has left behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.evaluate.alignment import misaligned_assistants
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.facts import read_facts
from reedit.rehearse.overlay import CORPUS
from reedit.report.tables.render import aligned
from reedit.settings.experiment import Experiment
from reedit.settings.runs import Entry
from reedit.storage import parquet
from reedit.use.costs import GB
from reedit.use.obstacles import obstacles, obstacles_of_any_size
from reedit.use.plan import disk_of, job_costs

SHOWN = 5  # cases named of each kind
ROLES = ("case", "assistant", "evaluation")  # of evaluate/alignment.py


@dataclass(frozen=True)
class Outcome:
    """How a rehearsal's run of the workflow ended: exit status, jobs, seconds, and an error a line."""

    status: int
    jobs: int
    seconds: float
    errors: Sequence[str]


def report_lines(
    real: Experiment, rehearsed: Experiment, folder: Path, results: Path, outcome: Outcome
) -> list[str]:
    """The report as Markdown. `folder` is the rehearsal's, `results` those of the real experiment."""
    ended = "every job ran" if outcome.status == 0 else "not every job ran"
    head = [
        f"On stand-ins for {', '.join(real.models)}, with the real tokenizers:"
        f" this time {outcome.jobs} jobs in {outcome.seconds / 60:.1f} minutes; {ended}."
        f" No number in {folder} is a result.",
    ]
    if outcome.errors:
        head += ["", *(f"- {error}" for error in outcome.errors)]
    try:
        found, sizes = obstacles(real, results), _sizes(real, rehearsed, folder)
    except InputError as error:  # of an experiment that make plan knows too little of
        found, sizes = obstacles_of_any_size(real), [f"Not planned: {error}."]
    found = [*_too_few(real, rehearsed, folder), *found]
    return [
        *head,
        *_section("Cases that will be left out", _left_out(rehearsed, folder)),
        *_section("Neighbors", _neighbors(rehearsed, folder)),
        *_section("Memory and disk", sizes),
        *_section("What stands in the way here", [f"- {one}" for one in found] or ["Nothing was found."]),
        *_section("What was not rehearsed", [f"- {one}" for one in _not_rehearsed(real, rehearsed)]),
    ]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _splits(
    experiment: Experiment, folder: Path
) -> dict[tuple[str, str, str], tuple[Entry, Mapping[str, Any]]]:
    """Of each split that was made, by its path: an entry, and the split's provenance."""
    found = {}
    for entry in experiment.entries:
        path = folder / f"results/splits/{entry.model}/{entry.dataset}/{entry.sample}.parquet"
        if path.exists():
            key = entry.model, entry.dataset, entry.sample
            found.setdefault(key, (entry, parquet.read_provenance(path)))
    return found


def _lists(experiment: Experiment, dataset: str, folder: Path) -> dict[int, str]:
    """The source, a list of cases, that each case_id of a dataset comes from."""
    path = folder / f"results/facts/{dataset}.parquet"
    ids = [fact.case_id for fact in read_facts(path)]
    sizes, sources = parquet.read_provenance(path)["cases"], experiment.files.of_dataset(dataset)
    names = [source for source, size in zip(sources, sizes, strict=True) for _ in range(size)]
    return dict(zip(ids, names, strict=True))


def _left_out(experiment: Experiment, folder: Path) -> list[str]:
    """By list, model and protocol: how many cases, and why some of them cannot be edited or scored."""
    head = ["List", "Model", "Protocols", "Cases", "Case", "Assistant", "Evaluation"]
    grid, reasons = [head], []
    of_case: dict[str, dict[int, str]] = {}
    for (model, dataset, _), (entry, made_by) in _splits(experiment, folder).items():
        lists = of_case.setdefault(dataset, _lists(experiment, dataset, folder))
        protocols = "+".join(entry.protocols)
        for name in dict.fromkeys(lists.values()):
            here = [one for one in made_by["left_out"] if lists[one["case_id"]] == name]
            counts = [str(sum(one["role"] == role for one in here)) for role in ROLES]
            cases = sum(place == name for place in lists.values())
            line = [f"{dataset}: {name}", model, protocols, str(cases), *counts]
            if line not in grid:
                grid.append(line)
            for role in ROLES:
                told = [one["reason"] for one in here if one["role"] == role]
                reasons += _told(f"{name}, {model}, {protocols}, {role}", told)
    words = (
        "Of each list, so many cases are left out: they do not align themselves, an assisting neighbor does"
    )
    words += " not, or a row that scores them does not."
    return [words, "", *aligned(grid, left=3), "", *dict.fromkeys(reasons)]


def _told(where: str, reasons: Sequence[str]) -> list[str]:
    """One line with the first of some reasons and the number of the others; none without a reason."""
    more = [f"and {len(reasons) - SHOWN} more"] * (len(reasons) > SHOWN)
    return [f"- {where}: {'; '.join([*reasons[:SHOWN], *more])}"] if reasons else []


def _neighbors(experiment: Experiment, folder: Path) -> list[str]:
    """By dataset, model and protocol: how many neighbors, and how many of them could not assist."""
    head = ["Dataset", "Model", "Protocols", "Neighbors", "Dropped", "Of known subject", "Do not align"]
    grid, reasons = [head], []
    for (model, dataset, _), (entry, _) in _splits(experiment, folder).items():
        path = folder / f"results/facts/{dataset}.parquet"
        facts, dropped = read_facts(path), parquet.read_provenance(path)["dropped_neighbors"]
        counts = [sum(len(fact.neighbors) for fact in facts), dropped, "", ""]
        if entry.assisting:
            tokenizer = load_tokenizer(folder / f"results/models/{model}")
            wording = Wording.of(tokenizer, **experiment.wording(model, dataset))
            found = misaligned_assistants(wording, facts, entry.protocols)
            known = sum(neighbor.subject is not None for fact in facts for neighbor in fact.neighbors)
            counts[2:] = [known, len(found)]
            reasons += _told(f"{dataset}, {model}", [one.reason for one in found])
        line = [dataset, model, "+".join(entry.protocols), *map(str, counts)]
        if line not in grid:
            grid.append(line)
    words = "A neighbor of known subject may assist, where the real model's answers let it pass the filter of"
    words += " Appendix B.2. If one comes to assist that does not align, its case is left out."
    return [words, "", *aligned(grid, left=3), "", *dict.fromkeys(reasons)]


def _sizes(real: Experiment, rehearsed: Experiment, folder: Path) -> list[str]:
    """The plan's arithmetic held against the stand-ins' files, and what it says of the real models."""
    results = folder / "results"
    planned = {"edit_facts": 0.0, "collect_moments": 0.0}
    for group in job_costs(rehearsed):
        if group.cost.rule in planned:
            planned[group.cost.rule] += group.count * group.cost.disk * GB
    edited = [path for path, run in rehearsed.runs.items() if not run.method.regularises]
    over = {(run.entry.model, run.entry.corpus) for run in rehearsed.runs.values()}
    found = {
        "edit_facts": sum(_bytes(results / "edits" / path / "weights") for path in edited),
        "collect_moments": sum(_bytes(results / "moments" / model / corpus) for model, corpus in over),
    }
    lines = [
        f"- {rule} of the stand-ins: planned {planned[rule] / 1e6:.1f} MB of disk, with what is saved on"
        f" the way, found {size / 1e6:.1f} MB at the end."
        for rule, size in found.items()
    ]
    gpu = max(job_costs(real), key=lambda group: group.cost.gpu)
    host = max(job_costs(real), key=lambda group: group.cost.host)
    return [
        *lines,
        f"- The experiment, by the plan: {disk_of(real):.0f} GB of disk, up to {gpu.cost.gpu:.0f} GB of a GPU"
        f" ({gpu.cost.rule}, {gpu.model}), {host.cost.host:.0f} GB of memory ({host.cost.rule},"
        f" {host.model}).",
    ]


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _too_few(real: Experiment, rehearsed: Experiment, folder: Path) -> list[str]:
    """Entries of the real experiment that ask for more cases than align."""
    splits, found = _splits(rehearsed, folder), []
    for asked, entry in zip(real.entries, rehearsed.entries, strict=True):
        _, made_by = splits.get((entry.model, entry.dataset, entry.sample), (entry, None))
        if made_by is None:
            continue
        lost = len(made_by["left_out"])
        left = made_by["cases"] - lost
        if asked.edits != "all" and asked.edits * asked.trials > left:
            what = f"{asked.trials} x {asked.edits} edits of {asked.dataset}"
            found.append(f"runs[{asked.index}] asks for {what}, of which {left} cases can be edited.")
        if lost and asked.misaligned == "error":
            found.append(
                f"runs[{asked.index}] stops where it samples one of the {lost} cases of {asked.dataset} that"
                " do not align; misaligned: drop leaves them out."
            )
    return found


def _not_rehearsed(real: Experiment, rehearsed: Experiment) -> list[str]:
    replaced = [
        f"{asked.corpus} of {asked.model}"
        for asked, entry in zip(real.entries, rehearsed.entries, strict=True)
        if entry.corpus == CORPUS
    ]
    lines = [
        "What only real weights tell: who passes the neighbor filter, when the criterion is met, collapse."
    ]
    if replaced:
        lines.append(f"Second moments over {', '.join(dict.fromkeys(replaced))}: over a few sentences here.")
    hub = [name for name in real.used_sources if real.config["sources"][name]["kind"] == "hub"]
    if hub:
        lines.append(f"Downloads of {', '.join(hub)}.")
    if "downstream" in real.config:
        lines.append("Tasks of lm-evaluation-harness.")
    return lines

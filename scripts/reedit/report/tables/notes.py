"""The sentences around a table: on its face, what its marks mean, what produced it, from provenance."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from reedit.methods.recipe import OF_TARGETS
from reedit.report.words import Labels, method_of, name_of
from reedit.storage.provenance import is_stand_in

RANGE = (  # said where a line has several k
    "A range of k: each trial is a run of its own and stands where the rule stops it; at its last iteration"
    " where the rule never does, or where the line is of an iteration that it did not reach."
)
LAST = {  # said where a line has this role
    "last": "† the criterion abs Δp <= 1 was not met: the last iteration.",
    "unjudged": "‡ abs Δp was not measured: the last iteration.",
}
LEFT_OUT = {  # why cases are, by the row that does not fit (prepare/splits.Unfit.role)
    "case": "misaligned",
    "assistant": "misaligned with an assistant",
    "evaluation": "misaligned in what scores them",
    "conflict": "in conflict with another",
}
MARKS = {role: words[0] for role, words in LAST.items()}
PARTLY = "Meet the proposed rule in some of their trials alone"
REHEARSAL = "A rehearsal: models are stand-ins with random weights, and no number here is a result."

Produced = Callable[[Mapping[str, Any], Labels], list[str]]  # notes on it, from its rows' provenance


def face(made_by: Iterable[Mapping[str, Any]]) -> str:
    """What a table, or the page, says on its face in all formats, from the provenance of all that it shows:
    nothing, unless its models are stand-ins."""
    return REHEARSAL if any(is_stand_in(one["model_revision"]) for one in made_by) else ""


def run_notes(made_by: Mapping[str, Any], labels: Labels) -> list[str]:
    """What produced a table of runs, after the methods that one of stopping rules does not show."""
    unmet, partly = made_by.get("unmet", []), made_by.get("partly", [])
    left_out = unmet_note(unmet, labels) + unmet_note(partly, labels, PARTLY)
    return left_out + provenance_notes(made_by["runs"])


def no_notes(_: Mapping[str, Any], __: Labels) -> list[str]:
    """Of a table that follows another one or tells nothing of runs."""
    return []


def provenance_notes(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Notes under a table; `runs` holds the provenance of every run by its path (model/dataset/...)."""
    if not runs:
        return ["No run."]
    notes = []
    for model in _distinct(path.split("/")[0] for path in runs):
        revisions = _distinct(p["model_revision"] for path, p in runs.items() if path.startswith(f"{model}/"))
        notes.append(f"Model {model}, revision {', '.join(map(_short, revisions))}.")
    samples = listed(f"{path.split('/')[1]} ({_batches(made_by)})" for path, made_by in runs.items())
    trials = len(_distinct(path.split("/")[-1] for path in runs))
    seeds = listed(p["seed"] for p in runs.values())
    notes.append(f"Facts: {samples}; {trials} mutually exclusive trial(s); seed {seeds}.")
    corpora = _distinct(
        f"{p['corpus']}, {p['corpus_tokens']:,} tokens" if p["corpus"] else "none" for p in runs.values()
    )
    prefixes = listed(p["prefix_templates"] for p in runs.values())
    notes.append(f"Second moments: {'; '.join(corpora)}. Prefix templates: {prefixes}.")
    texts = listed(p["texts"] for p in runs.values())
    notes.append(f"ME-PPL: mean perplexity over the texts of {texts}.")
    protocols = listed(p["protocol"] for p in runs.values())
    notes.append(f"Protocol: {protocols} (docs/protocols.md lists what each means).")
    measures = listed(
        ", ".join(f"{name} {number}" for name, number in p["measures"].items())
        for p in runs.values()
        if "measures" in p
    )
    notes += [f"Measures, by their version: {measures} (docs/measures.md)."] if measures else []
    judges = listed(_judge(p["judge"]) for p in runs.values() if p.get("judge"))
    notes += [f"What was said is judged by {judges} (docs/measures.md)."] if judges else []
    for method, engine in _distinct(
        (path.split("/")[2], p["engine"].get("commit") or "unknown")
        for path, p in runs.items()
        if p.get("engine", {}).get("name") == "easyedit"
    ):
        notes.append(
            f"{method} was edited by EasyEdit (commit {engine}), which does not tell Δp: whether the"
            " criterion is met is unknown, and the last iteration is shown (docs/easyedit.md)."
        )
    for method, told in _distinct((path.split("/")[2], _sequential(p)) for path, p in runs.items()):
        notes += [f"{method}: {told} (docs/methods.md)."] if told else []
    for method in _distinct(path.split("/")[2] for path, p in runs.items() if p.get("leaves") == "gap"):
        notes.append(
            f"{method}: from k = 2 on, edits whose gap is closed and whose target leads keep their target;"
            " OPTIMIZATION is of the others alone (docs/methods.md)."
        )
    for method, dtype in _distinct(
        (path.split("/")[2], p["optimized_in"]) for path, p in runs.items() if _is_fast(p)
    ):
        notes.append(
            f"{method} was edited fast: OPTIMIZATION in {dtype}, straight steps in place of Adam, edits that"
            " are done left alone where their targets can be held (docs/performance.md)."
        )
    for dataset, counts in _distinct(
        (path.split("/")[1], _left_out(p.get("left_out"))) for path, p in runs.items()
    ):
        notes += [f"Left out of {dataset} before sampling: {counts}."] if counts else []
    for path, p in runs.items():
        if counts := p.get("dropped"):
            told = ", ".join(f"{count} at k={k}" for k, count in counts.items())
            notes.append(f"Left out of {path}, their numbers not finite: {told} of {p['edits']} cases.")
    code = listed(p["hyperparameters_hash"] for p in runs.values())
    first = next(iter(runs.values()))
    packages = [f"{name} {v}" for name, v in first["packages"].items() if name in ("torch", "transformers")]
    notes.append(f"Hyperparameters: {code} (hash); {', '.join([*packages, first['device']])}.")
    return notes


def _is_fast(made_by: Mapping[str, Any]) -> bool:
    """Whether a run was edited with speed: fast itself, and not made of one that was."""
    return made_by.get("speed") == "fast" and "optimized_in" in made_by


def _sequential(made_by: Mapping[str, Any]) -> str:
    """What a method does to its updates that its algorithm does not say."""
    told = []
    if (whose := made_by.get("protects")) not in (None, "none"):
        of = "other batches" if whose == "others" else "all earlier updates"
        told.append(f"leaves the keys of {of} alone")
    for one in made_by.get("regularisers", []):
        options = ", ".join(f"{name} {value}" for name, value in one.items() if name != "name")
        what = "target" if one["name"] in OF_TARGETS else "update"
        told.append(f"each {what} regularised by {one['name']}" + f" ({options})" * bool(options))
    if made_by.get("ideal_editor"):
        joined = f"joined as by an ideal editor (SimIE, lambda {made_by['ideal_editor']:g})"
        told.append(f"every batch edited at the unedited weights, and {joined}")
    return "; ".join(told)


def _left_out(counts: Mapping[str, int] | None) -> str:
    """Cases that were left out, by why (edit/job/inputs.left_out); nothing where none was."""
    return ", ".join(f"{count} {LEFT_OUT.get(why, why)}" for why, count in (counts or {}).items())


def choice_notes(rows: Sequence[Mapping[str, Any]], sides: Sequence[str] = ("",)) -> list[str]:
    """What the marks and ranges at the k of rows mean, where they have any; `sides` begin their columns."""
    roles = {row.get(f"{side}role") for row in rows for side in sides}
    ranges = any(
        row[f"{side}k_min"] < row[f"{side}k"] and row.get(f"{side}role") != "highest"  # which no rule chose
        for row in rows
        for side in sides
        if f"{side}k_min" in row
    )
    return [words for role, words in LAST.items() if role in roles] + [RANGE] * ranges


def unmet_note(
    methods: Sequence[Sequence[str]], labels: Labels, words: str = "Never meet the proposed rule"
) -> list[str]:
    """A note that names each (model, dataset, method) that is not shown for what `words` say, if any."""
    named = [
        f"{method_of(method, labels)} ({name_of(model, labels)}, {name_of(dataset, labels)})"
        for model, dataset, method in methods
    ]
    return [f"{words}, and are not shown: {', '.join(named)}."] if named else []


def _batches(made_by: Mapping[str, Any]) -> str:
    """How many cases a run edited, and how many of them together."""
    size = made_by.get("batch")
    return f"{made_by['edits']} edits " + ("in one batch" if size is None else f"in batches of {size}")


def listed(values: Iterable[Any]) -> str:
    """Each value once, in order of appearance."""
    return ", ".join(_distinct(map(str, values)))


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))


def _judge(told: Mapping[str, Any]) -> str:
    """What judged, as the provenance has it: a model, or an installed package's plugin."""
    if "plugin" in told:
        return f"the plugin {told['plugin']} of {told['by']}"
    return f"{told['model']} (revision {_short(told['revision'])}, words {told['version']})"


def _short(revision: str) -> str:
    """A revision that can be told apart in print: its kind and 12 digits."""
    kind, _, digits = revision.rpartition(":")
    return f"{kind}:{digits[:12]}" if kind else digits[:12]

"""What reports/explore.html shows, from the Parquet files to plain values that JSON can hold.

Three kinds of parts. "overview": every method with its measures at every k, and the lines of the tables. A
"sample": the cases of a trial and the prompts they are scored with, which methods may share. A "run": for
each k and case its measures, for each k and prompt what the model says. Columns, not rows: they pack well.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS
from reedit.prepare.facts import NO_ANSWER, Fact, read_facts
from reedit.prepare.groups import read_groups
from reedit.report.page.further import item_answers, norm_courses, own_words, sample_items
from reedit.report.page.values import plain, significant
from reedit.report.rows.cases import failed
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import Method, RunKey, Shown, at_every, methods_of, table_lines
from reedit.report.rows.runs import table_rows
from reedit.report.rows.table_lines import blocks
from reedit.report.tables.notes import provenance_notes
from reedit.report.tables.paper import FULL
from reedit.report.tables.paper_sheet import HEADS, LEGEND, MET
from reedit.report.words import Labels, k_text, method_of, name_of
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

CASE_MEASURES = [name for name in MEASURES if not name.startswith("score")]
PERPLEXITIES = ("ppl_target", "ppl_edited")
ANSWER_MEASURES = ("accuracy", "success", "exact_match", "logp_new", "logp_true")
LIMIT = 4_000_000  # rows of all score files; beyond it a page would pass some 30 MB, and shows fewer k
DIGITS = 2  # of a log probability

Row = Mapping[str, Any]
Part = tuple[str, Any]  # a name, and values that JSON can hold


@dataclass(frozen=True)
class Results:
    """What the page is made of: rows of schema "runs", rows of schema "cases", the scores of each run, the
    facts of each dataset, and the provenance of every run by its path; where an experiment has them, groups
    of datasets, what runs say to these and to the scored prompts themselves, rows of "norm_summary"."""

    runs: Sequence[Row]
    cases: pa.Table
    scores: Mapping[RunKey, Path | str]
    facts: Mapping[str, Path | str]
    made_by: Mapping[str, Mapping[str, Any]]
    groups: Mapping[str, Path | str] = field(default_factory=dict)
    portability: Mapping[RunKey, Path | str] = field(default_factory=dict)
    generations: Mapping[RunKey, Path | str] = field(default_factory=dict)
    norms: Sequence[Row] = ()


def parts(results: Results, labels: Labels, limit: int = LIMIT) -> Iterator[Part]:
    """Every sample and run by name ("sample0", "run0"), one at a time, and in the end "overview".

    With more than `limit` rows of scores, prompts come at k = 0, 1 and where the tables stop alone. Raises
    InputError for scores of a case that its dataset lacks, or of other prompts at one k than at another.
    """
    methods = methods_of(results.runs)
    facts = {name: read_facts(Path(path)) for name, path in results.facts.items()}
    known = {name: {fact.case_id: fact for fact in own} for name, own in facts.items()}
    items = {name: read_groups(path) for name, path in results.groups.items()}
    names: dict[RunKey, dict[str, str]] = {}
    seen: dict[str, str] = {}  # sample as JSON -> its name
    thin = sum(pq.read_metadata(path).num_rows for path in results.scores.values()) > limit
    for method in methods:
        for trial, one in _trials(method).items():
            key = (*method.path, trial)
            path = results.scores[key]
            asked = parquet.read_complete(path, "scores")
            sample = _sample(_prompts(asked, path), known[method.dataset], path)
            if key in results.portability:
                sample["items"] = sample_items(sample["case_id"], items[method.dataset])
            text = json.dumps(sample)
            if text not in seen:
                seen[text] = f"sample{len(seen)}"
                yield seen[text], sample
            names[key] = {"sample": seen[text], "run": f"run{len(names)}"}
            if thin:
                asked = asked.filter(pc.field("k").isin([0, 1, _shown_k(one)]))
            prompts = _answers(asked, len(sample["prompts"]["case"]), method.protocol)
            cases = _cases(_of_run(results.cases, key), sample["case_id"])
            found = {"trial": trial, "cases": cases, "prompts": prompts}
            if key in results.generations:
                found["own"] = own_words(results.generations[key], asked)
            if key in results.portability:
                found["items"] = item_answers(results.portability[key], sample["case_id"], prompts["k"])
            yield names[key]["run"], found
    place = {method.path: number for number, method in enumerate(methods)}
    yield (
        "overview",
        {
            "heads": {name: head.text for name, head in HEADS.items()},
            "legend": LEGEND | {"selected": f"{MET[:-1]}: the proposed rule stops here."},
            "thin": thin,
            "methods": [
                _method(method, names, labels) | norm_courses(method, results.norms) for method in methods
            ],
            "blocks": [
                _block(members, place, results.made_by)
                for members in grouped(methods, attrgetter("place")).values()
            ],
        },
    )


def _method(method: Method, names: Mapping[RunKey, Mapping[str, str]], labels: Labels) -> dict[str, Any]:
    """A method with its measures at every k: means over its trials, and those of each."""
    return {
        "model": {"name": method.model, "label": name_of(method.model, labels)},
        "dataset": {"name": method.dataset, "label": name_of(method.dataset, labels)},
        "method": {"name": method.method, "label": method_of(method.method, labels)},
        "algorithm": method.algorithm,
        "protocol": method.protocol,
        "edits": method.edits,
        "mean": _course(method),
        "trials": [
            names[*method.path, trial] | {"trial": trial, "shown": _shown_k(one), "course": _course(one)}
            for trial, one in _trials(method).items()
        ],
    }


def _block(
    members: Sequence[Method], place: Mapping[Any, int], made_by: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The methods of a (model, dataset) by their place, the lines of their table, and what produced it."""
    paths = {"/".join(method.path) for method in members}
    own = {run: found for run, found in made_by.items() if run.rpartition("/")[0] in paths}
    return {
        "methods": [place[method.path] for method in members],
        "lines": [[place[line.method.path], _name(line)] for line in table_lines(members, at_every)],
        "notes": provenance_notes(own),
    }


def _trials(method: Method) -> dict[int, Method]:
    """The method as if each trial were its only one."""
    return {trial: replace(method, trials={trial: rows}) for trial, rows in method.trials.items()}


def _course(method: Method) -> dict[str, list[Any]]:
    """A method's lines, the unedited model first, column by column: k as the page names it and as it prints
    it, why the tables show it, whether it has collapsed, and the tables' measures, means over its trials."""
    shown = table_lines([method], at_every)
    lines = [line for block in blocks(table_rows(shown)) for line in block]
    found: dict[str, list[Any]] = {"k": [_name(line) for line in shown]}
    found |= {"text": [line.k_text for line in lines]}
    found |= {name: [getattr(line, name) for line in lines] for name in ("role", "collapsed")}
    return found | {name: [plain(line.printed(name)) for line in lines] for name in FULL}


def _name(line: Shown) -> int | str:
    """An iteration's number; for trials at k of their own, which are no iteration of all, the range of k."""
    return line.k if line.ks == line.method.at(line.k) else k_text(line.k_min, line.k)


def _shown_k(method: Method) -> int:
    """The k of the proposed rule in a trial, or its last one."""
    return max(method.choice()[0]) if method.edited else 0


def _prompts(asked: pa.Table, path: Path | str) -> pa.Table:
    """case_id, metric and prompt of every row that is scored, the same at every k."""
    found = None
    for k in pc.unique(asked["k"]):
        here = asked.filter(pc.equal(asked["k"], k)).select(["case_id", "metric", "prompt"])
        if found is not None and not here.equals(found):
            raise InputError(f"{path}: other prompts at k = {k} than at the first one; delete it and rerun")
        found = here
    if found is None:
        raise InputError(f"{path}: no rows")
    return found


def _sample(prompts: pa.Table, facts: Mapping[int, Fact], path: Path | str) -> dict[str, Any]:
    """The cases in the order scored, and their prompts: whose, of which metric, with which object."""
    case_ids = pc.unique(prompts["case_id"]).to_pylist()
    if unknown := [case for case in case_ids if case not in facts]:
        raise InputError(f"{path}: case {unknown[0]} is not among the dataset's facts; delete it and rerun")
    cases = [facts[case] for case in case_ids]
    objects = [{neighbor.prompt: neighbor.object for neighbor in fact.neighbors} for fact in cases]
    place = {case: number for number, case in enumerate(case_ids)}
    of_case = [place[case] for case in prompts["case_id"].to_pylist()]
    metrics, texts = prompts["metric"].to_pylist(), prompts["prompt"].to_pylist()
    return {
        "case_id": case_ids,
        "relation": [fact.relation for fact in cases],
        "subject": [fact.subject for fact in cases],
        "target_new": [fact.target_new for fact in cases],
        "target_true": [None if fact.target_true == NO_ANSWER else fact.target_true for fact in cases],
        "prompts": {
            "case": of_case,
            "metric": [METRICS.index(metric) for metric in metrics],
            "prompt": texts,
            "object": [
                objects[case].get(prompt) if metric == "specificity" else None
                for case, metric, prompt in zip(of_case, metrics, texts, strict=True)
            ],
        },
    }


def _answers(asked: pa.Table, size: int, protocol: str) -> dict[str, Any]:
    """What a run says to its `size` prompts at every k of `asked`, as it is scored."""
    scored = sorted(pc.unique(asked["k"]).to_pylist())
    tables = [asked.filter(pc.field("k") == k) for k in scored]
    said = pa.chunked_array([table["predicted"].combine_chunks() for table in tables], pa.string())
    said = said.combine_chunks().dictionary_encode()
    codes = said.indices.to_pylist()
    return {
        "k": scored,
        **{name: [_rounded(table[name]) for table in tables] for name in ANSWER_MEASURES},
        "wrong": [_wrong(table, tables[0], protocol) for table in tables],
        "words": said.dictionary.to_pylist(),
        "predicted": [codes[start : start + size] for start in range(0, len(codes), size)],
    }


def _wrong(table: pa.Table, unedited: pa.Table, protocol: str) -> list[int | None]:
    """Whether each prompt fails: 1, 0, or None where it was not measured.

    Efficacy and generalization fail as an UnderEdit case does (cases.failed). A neighbor is broken where the
    model no longer gives its unedited answer, as accuracy of specificity counts.
    """
    broken = pc.and_(pc.equal(table["exact_match"], 0.0), pc.greater(unedited["exact_match"], 0.0))
    chosen = pc.if_else(pc.equal(table["metric"], "specificity"), broken, failed(table, protocol))
    return pc.cast(chosen, pa.int8()).to_pylist()


def _cases(cases: pa.Table, case_ids: Sequence[int]) -> dict[str, Any]:
    """The measures of each case at every k, in the order of `case_ids`; None where not measured."""
    ks = sorted(pc.unique(cases["k"]).to_pylist())
    found: dict[str, Any] = {"k": ks} | {name: [] for name in (*CASE_MEASURES, *PERPLEXITIES)}
    for k in ks:
        here = cases.filter(pc.field("k") == k)
        rows = here.take(pc.index_in(pa.array(case_ids, pa.int64()), here["case_id"].combine_chunks()))
        for name in (*CASE_MEASURES, *PERPLEXITIES):
            found[name].append([significant(value) for value in rows[name].to_pylist()])
    return found


def _of_run(cases: pa.Table, key: RunKey) -> pa.Table:
    """The rows of one run."""
    for name, value in zip(("model", "dataset", "method", "trial"), key, strict=True):
        cases = cases.filter(pc.field(name) == value)
    return cases


def _rounded(column: pa.ChunkedArray) -> list[Any]:
    return [plain(value, DIGITS) for value in column.to_pylist()]

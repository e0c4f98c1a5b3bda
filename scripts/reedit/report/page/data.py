"""What reports/explore.html shows, from the Parquet files to plain values that JSON can hold.

Three kinds of parts. "overview": every method with its measures at every k, and the lines of the tables. A
"sample": the cases of a trial and the prompts they are scored with, which methods may share. A "run": for
each k and case its measures, for each k and prompt what the model says. Columns, not rows: they pack well.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS
from reedit.methods.protocols import PROTOCOLS
from reedit.prepare.facts import Fact, read_facts
from reedit.prepare.zsre import NO_ANSWER
from reedit.report.rows.lines import Method, RunKey, Shown, at_every, methods_of, table_lines
from reedit.report.rows.runs import collapsed
from reedit.report.rows.table_lines import BY_DEFINITION
from reedit.report.tables.notes import provenance_notes
from reedit.report.tables.paper import FULL
from reedit.report.tables.paper_sheet import HEADS, LEGEND, MET
from reedit.report.words import Labels, k_text, method_of, name_of
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

CASE_MEASURES = [name for name in MEASURES if not name.startswith("score")]
PERPLEXITIES = ("ppl_target", "ppl_edited")
LIMIT = 4_000_000  # rows of all score files; beyond it a page would pass some 30 MB, and shows fewer k
DIGITS = 2  # of a log probability

Row = Mapping[str, Any]
Part = tuple[str, Any]  # a name, and values that JSON can hold


def parts(
    runs: Sequence[Row],
    cases: pa.Table,
    scores: Mapping[RunKey, Path | str],
    facts: Mapping[str, Path | str],
    made_by: Mapping[str, Mapping[str, Any]],
    labels: Labels,
    limit: int = LIMIT,
) -> Iterator[Part]:
    """Every sample and run by name ("sample0", "run0"), one at a time, and in the end "overview".

    `runs` are rows of schema "runs", `cases` a table of schema "cases", `scores` a file for each run and
    `facts` one for each dataset; `made_by` holds the provenance of every run by its path. With more than
    `limit` rows of scores, prompts come at k = 0, 1 and where the tables stop alone. Raises InputError for
    scores of a case that its dataset lacks, or of other prompts at one k than at another.
    """
    methods, known = methods_of(runs), {name: _by_case(path) for name, path in facts.items()}
    names: dict[RunKey, dict[str, str]] = {}
    seen: dict[str, str] = {}  # sample as JSON -> its name
    thin = sum(pq.read_metadata(path).num_rows for path in scores.values()) > limit
    for method in methods:
        for trial in sorted(method.trials):
            key = (*method.path, trial)
            asked = parquet.read_table(scores[key], "scores")
            prompts = _prompts(asked, scores[key])
            sample = _sample(prompts, known[method.dataset], scores[key])
            text = json.dumps(sample)
            if text not in seen:
                seen[text] = f"sample{len(seen)}"
                yield seen[text], sample
            names[key] = {"sample": seen[text], "run": f"run{len(names)}"}
            ks = {0, 1, _shown_k(_of_trial(method, trial))} if thin else None
            yield names[key]["run"], _run(method, trial, asked, sample, _of_run(cases, key), ks)
    yield "overview", _overview(methods, names, made_by, labels, thin)


def _overview(
    methods: Sequence[Method],
    names: Mapping[RunKey, Mapping[str, str]],
    made_by: Mapping[str, Mapping[str, Any]],
    labels: Labels,
    thin: bool,
) -> dict[str, Any]:
    """Methods by their place, and for each (model, dataset) the lines of its table and what produced it."""
    place = {method.path: number for number, method in enumerate(methods)}
    blocks: dict[tuple[str, str], list[Method]] = {}
    for method in methods:
        blocks.setdefault((method.model, method.dataset), []).append(method)
    return {
        "heads": {name: head.text for name, head in HEADS.items()},
        "legend": LEGEND | {"selected": f"{MET[:-1]}: the proposed rule stops here."},
        "thin": thin,
        "methods": [
            {
                "model": {"name": method.model, "label": name_of(method.model, labels)},
                "dataset": {"name": method.dataset, "label": name_of(method.dataset, labels)},
                "method": {"name": method.method, "label": method_of(method.method, labels)},
                "algorithm": method.algorithm,
                "protocol": method.protocol,
                "edits": method.edits,
                "mean": _course(method),
                "trials": [
                    names[*method.path, trial]
                    | {"trial": trial, "shown": _shown_k(one), "course": _course(one)}
                    for trial in method.trials
                    for one in [_of_trial(method, trial)]
                ],
            }
            for method in methods
        ],
        "blocks": [
            {
                "methods": [place[method.path] for method in members],
                "lines": [[place[line.method.path], _name(line)] for line in table_lines(members, at_every)],
                "notes": provenance_notes(_made(members, made_by)),
            }
            for members in blocks.values()
        ],
    }


def _of_trial(method: Method, trial: int) -> Method:
    """The method as if the trial were its only one."""
    return replace(method, trials={trial: method.trials[trial]})


def _course(method: Method) -> dict[str, list[Any]]:
    """A method's lines, the unedited model first, column by column: k as the page names it and as it prints
    it, why the tables show it, whether it has collapsed, and the tables' measures, means over its trials."""
    lines = [Shown(method, method.at(0), "unedited")]
    lines += [Shown(method, ks, role) for ks, role in at_every(method).items()] if method.edited else []
    found: dict[str, list[Any]] = {"k": [_name(line) for line in lines]}
    found |= {"text": [k_text(line.k_min, line.k) for line in lines]}
    found |= {"role": [line.role for line in lines]}
    found |= {"collapsed": [collapsed(method, line.ks) for line in lines]}
    return found | {name: [_printed(line, name) for line in lines] for name in FULL}


def _name(line: Shown) -> int | str:
    """An iteration's number; for trials at k of their own, which are no iteration of all, the range of k."""
    return line.k if line.ks == line.method.at(line.k) else k_text(line.k_min, line.k)


def _printed(line: Shown, measure: str) -> Any:
    """As in the tables (layout.Line), of the unedited model nothing that is true by definition."""
    if line.k == 0 and measure in BY_DEFINITION:
        return None
    if line.k == 0 and measure == "ppl_edited":
        return _plain(line.method.mean("ppl_initial", line.method.at(1)))
    return _plain(line.method.mean(measure, line.ks))


def _shown_k(method: Method) -> int:
    """The k of the proposed rule in a trial, or its last one."""
    return max(method.choice()[0]) if method.edited else 0


def _made(
    members: Sequence[Method], made_by: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """The provenance of the members' runs."""
    paths = {"/".join(method.path) for method in members}
    return {run: found for run, found in made_by.items() if run.rpartition("/")[0] in paths}


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


def _run(
    method: Method,
    trial: int,
    asked: pa.Table,
    sample: Mapping[str, Any],
    cases: pa.Table,
    ks: set[int] | None,
) -> dict[str, Any]:
    """What one run did: "cases" at every k, "prompts" at every k scored (of `ks`, where given)."""
    scored = [k for k in sorted(pc.unique(asked["k"]).to_pylist()) if ks is None or k in ks]
    tables = [asked.filter(pc.equal(asked["k"], k)) for k in scored]
    wrong = _wrong(tables, method.protocol)
    said = pa.chunked_array([table["predicted"].combine_chunks() for table in tables], pa.string())
    said = said.combine_chunks().dictionary_encode()
    size = len(sample["prompts"]["case"])
    codes = said.indices.to_pylist()
    return {
        "trial": trial,
        "cases": _cases(cases, sample["case_id"]),
        "prompts": {
            "k": scored,
            "accuracy": [_rounded(table["accuracy"]) for table in tables],
            "success": [_rounded(table["success"]) for table in tables],
            "exact_match": [_rounded(table["exact_match"]) for table in tables],
            "logp_new": [_rounded(table["logp_new"]) for table in tables],
            "logp_true": [_rounded(table["logp_true"]) for table in tables],
            "wrong": wrong,
            "words": said.dictionary.to_pylist(),
            "predicted": [codes[start : start + size] for start in range(0, len(codes), size)],
        },
    }


def _wrong(tables: Sequence[pa.Table], protocol: str) -> list[list[int | None]]:
    """Per k whether each prompt fails: 1, 0, or None where it was not measured.

    Efficacy and generalization fail as an UnderEdit case does (cases.under_edits). A neighbor is
    broken where the model no longer gives its unedited answer, as accuracy of specificity counts.
    """
    before = tables[0]["exact_match"]
    found = []
    for table in tables:
        broken = pc.and_(pc.equal(table["exact_match"], 0.0), pc.greater(before, 0.0))
        behind = pc.less(table["logp_new"], table["logp_true"])
        failed = behind if PROTOCOLS[protocol].behind_fails else pc.equal(table["accuracy"], 0.0)
        chosen = pc.if_else(pc.equal(table["metric"], "specificity"), broken, failed)
        found.append(pc.cast(chosen, pa.int8()).to_pylist())
    return found


def _cases(cases: pa.Table, case_ids: Sequence[int]) -> dict[str, Any]:
    """The measures of each case at every k, in the order of `case_ids`; None where not measured."""
    columns = [*CASE_MEASURES, *PERPLEXITIES]
    ks = sorted(pc.unique(cases["k"]).to_pylist())
    found: dict[str, Any] = {"k": ks} | {name: [] for name in columns}
    for k in ks:
        here = cases.filter(pc.equal(cases["k"], k))
        place = {case: number for number, case in enumerate(here["case_id"].to_pylist())}
        for name in columns:
            values = here[name].to_pylist()
            chosen = [values[place[case]] if case in place else None for case in case_ids]
            found[name].append([_significant(value) for value in chosen])
    return found


def _of_run(cases: pa.Table, key: RunKey) -> pa.Table:
    """The rows of one run."""
    model, dataset, method, trial = key
    wanted = {"model": model, "dataset": dataset, "method": method, "trial": trial}
    for name, value in wanted.items():
        cases = cases.filter(pc.equal(cases[name], value))
    return cases


def _by_case(path: Path | str) -> dict[int, Fact]:
    return {fact.case_id: fact for fact in read_facts(Path(path))}


def _rounded(column: pa.ChunkedArray) -> list[Any]:
    return [_plain(value, DIGITS) for value in column.to_pylist()]


def _significant(value: float | None) -> Any:
    """Six significant digits, more than a page can show."""
    return _plain(value if value is None or not math.isfinite(value) else float(f"{value:.6g}"))


def _plain(value: float | None, digits: int | None = None) -> Any:
    """A number for JSON, whole where it can be, by its name in JavaScript where it is not finite; or None."""
    if value is None:
        return None
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    value = value if digits is None else round(value, digits)
    return int(value) if value == int(value) else value

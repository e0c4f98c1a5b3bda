"""What the paper reports, as if it had been measured: rows of the schemas "table" and "runs"."""

import csv
from itertools import groupby
from pathlib import Path

from reedit.report.rows.runs import COLLAPSE, PERPLEXITIES
from reedit.storage.schemas import MEASURES

CSV = Path(__file__).parents[1] / "resources" / "reported.csv"
PERCENT = {name: name for name in MEASURES}
PLAIN = {
    "me_ppl": "me_ppl_50",
    "ppl_target": "ppl_target_optimized",
    "ppl_edited": "ppl_target_edited",
    "delta_p": "delta_p",
    "delta_p2": "delta_p2",
}
LABELS = {
    "gpt2-xl": "GPT-2 XL (1.5B)",
    "gpt-j-6b": "GPT-J (6B)",
    "llama-2-7b": "Llama-2 (7B)",
    "counterfact": "CounterFact",
    "zsre": "ZsRE",
}


def reported(*tables: str) -> list[dict[str, str]]:
    """The lines of some tables, in the file's order."""
    with CSV.open() as file:
        return [line for line in csv.DictReader(file) if line["table"] in tables]


def value(line, measure) -> float | None:
    """A number as our tables have it (shares as fractions), None where the paper prints none."""
    text = line[PERCENT.get(measure) or PLAIN[measure]]
    return None if text == "" else float(text) / (100 if measure in PERCENT else 1)


def identity(line) -> dict:
    """Who a line is about, in the columns that "runs" and "table" share."""
    method = line["algorithm"]
    return {
        "model": line["model"],
        "dataset": line["dataset"],
        "format": line["dataset"],
        "method": method,
        "algorithm": method.split("_")[-1],
        "assisted": method.startswith("na"),
        "prefixed": method.startswith("nap"),
        "protocol": "released",
        "k": int(line["k"]),
        "edits": int(line["n_edits"]),
    }


def table_rows(number: str) -> list[dict]:
    """Rows of schema "table" with the numbers of one of the paper's tables."""
    rows: list[dict] = []
    lines = reported(number)
    for _, members in groupby(lines, key=lambda line: (line["model"], line["dataset"], line["algorithm"])):
        members = list(members)
        roles = _roles(number, members)
        for line in members:
            unedited = line["algorithm"] == "unedited"
            common = identity(line) | {"row": len(rows), "role": roles[line["k"]], "trials": 3}
            common |= {"k_min": common["k"]}
            common["collapsed"] = _collapsed(line, lines)
            for measure in [*MEASURES, *PLAIN]:
                place = "ppl_initial" if unedited and measure == "ppl_edited" else measure
                numbers = {"measure": place, "mean": value(line, measure)}
                rows.append(common | numbers | {"spread": None, "low": None, "high": None})
    return rows


def _roles(number, members) -> dict[str, str]:
    """{k: role} of one method's lines."""
    if members[0]["algorithm"] == "unedited":
        return {"0": "unedited"}
    if number == "4":
        return {line["k"]: line["stop_rule"] for line in members}
    if number == "10":
        kept = {
            line["k"]: line["stop_rule"]
            for line in reported("4")
            if all(line[name] == members[0][name] for name in ("model", "dataset", "algorithm"))
        }
        return {line["k"]: kept.get(line["k"], "iteration") for line in members}
    roles = {line["k"]: "first" if line["k"] == "1" else "iteration" for line in members}
    met = [line["k"] for line in members if line["delta_p"] and abs(float(line["delta_p"])) <= 1]
    if number == "3":
        met = [members[0]["k"]]  # prints no |delta p|: every line is a selected one
    return roles | ({met[0]: "selected"} if met else {members[-1]["k"]: "last"})


def _collapsed(line, lines) -> bool:
    before = [
        float(other["me_ppl_50"])
        for other in lines
        if other["algorithm"] == "unedited" and other["model"] == line["model"] and other["me_ppl_50"]
    ]
    return bool(line["me_ppl_50"] and before) and float(line["me_ppl_50"]) > COLLAPSE * before[0]


def runs(*tables: str) -> list[dict]:
    """Rows of schema "runs" from tables that have every iteration, an entry a table."""
    result = []
    for entry, number in enumerate(tables):
        lines = reported(number)
        for line in lines:
            if line["algorithm"] == "unedited":
                continue
            if line["k"] == "1":  # every run has the unedited model's scores
                before = next(
                    o for o in lines if o["algorithm"] == "unedited" and o["model"] == line["model"]
                )
                result.append(_run(line, entry) | {"k": 0} | {m: value(before, m) for m in PERCENT})
                result[-1]["me_ppl"] = value(before, "me_ppl")
            result.append(_run(line, entry) | {m: value(line, m) for m in [*PERCENT, *PLAIN]})
            previous = result[-2]["ppl_edited"] if line["k"] != "1" else None
            now = result[-1]["ppl_edited"]
            result[-1]["delta_p2"] = None if None in (previous, now) else round(abs(now - previous), 2)
    return result


def _run(line, entry) -> dict:
    empty = dict.fromkeys([*MEASURES, "me_ppl", *PERPLEXITIES])
    return identity(line) | {"entry": entry, "trial": 1} | empty

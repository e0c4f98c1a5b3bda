"""The paper's own numbers through our tables: every one stands in its place, and nothing else does."""

import re

import pytest
from printed_tables import TEMPLATES, printed
from reported_tables import LABELS, PERCENT, PLAIN, reported, runs, table_rows
from typesetting import needs_latex

from reedit.report.latex import compile as latex
from reedit.report.latex.document import document
from reedit.report.rows.lines import methods_of, never_stopped
from reedit.report.tables.paper import TABLES

NAMES = {label: name for name, label in LABELS.items()}
MODELS = [label for name, label in LABELS.items() if name not in ("counterfact", "zsre")]
HEADS = {
    r"$|\Delta p_k|$ ($\downarrow$)": "delta_p",
    r"$\Delta_{p2}$ ($\downarrow$)": "delta_p2",
    "ME-PPL": "me_ppl",
    r"$p(\theta_k, \bar{h}_{t,k}^{l_c})$": "ppl_target",
    r"$p(\theta_{k+1}, \hat{h}_{t,k}^{l_c})$": "ppl_edited",
    "$k$": "k",
}


def tex_of(number, rows=None):
    return printed(f"table{number}", rows or table_rows(number), labels=LABELS).tex


def columns_of(line):
    """The texts of a line of TeX's tables, one a column."""
    texts = []
    for cell in line.removesuffix(r"\\*").removesuffix(r"\\").split("&"):
        span = re.fullmatch(r"\\multicolumn\{(\d+)\}\{c\}\{(.*)\}", cell.strip())
        texts += [span[2]] * int(span[1]) if span else [cell.strip()]
    return texts


def head_of(tex):
    """(dataset or None, measure) of each column, by what its heads say."""
    text = tex.split(r"\toprule")[1].split(r"\midrule")[0]
    lines = [columns_of(line) for line in re.sub(r"\\cmidrule\S*", "", text).replace("\n", " ").split(r"\\")]
    lines = [line for line in lines if any(line)]
    datasets = lines.pop(0) if len(lines) == 3 else [None] * len(lines[0])
    dataset, columns = None, []
    for name, family, own in zip(datasets, *lines, strict=True):
        dataset = name or dataset
        metric = family.partition(" ")[0].lower()
        columns.append((dataset, HEADS.get(own) or HEADS.get(family) or f"{metric}_{own.lower()}"))
    return columns


def cells_of(tex, dataset):
    """{(model, dataset, algorithm, k, measure): text} of a table's filled cells."""
    columns = head_of(tex)
    body = tex.split(r"\endhead")[1].split(r"\bottomrule")[0]
    model = algo = None
    found = {}
    for line in body.splitlines():
        if "&" not in line:
            continue
        text = re.sub(r"\\cellcolor\{[^}]*\}|\\textbf\{([^}]*)\}|†", r"\1", line)
        name, own, *texts = columns_of(text.strip())
        model = name if name in MODELS else model
        algo = own or algo
        k = None
        for (column, measure), cell in zip(columns[2:], texts, strict=True):
            if measure == "k":
                k = cell
            elif cell:
                key = (NAMES[model], NAMES.get(column, dataset), algo.replace(r"\_", "_").lower(), k, measure)
                assert key not in found
                found[key] = cell
    return found


def numbers_of(number, lines):
    """The same as the CSV has it: {key: number}."""
    shown = {}
    for line in lines:
        for measure in TABLES[number].measures:
            text = line[PERCENT.get(measure) or PLAIN[measure]]
            if text:
                key = (line["model"], line["dataset"], line["algorithm"], line["k"], measure)
                shown[key] = float(text)
    return shown


def differences(number, rows=None):
    """Keys that are in one of the two only, or hold different numbers."""
    lines = reported(number)
    printed = cells_of(tex_of(number, rows), lines[0]["dataset"])
    found = {key: float(text.removesuffix(r"\%")) for key, text in printed.items()}
    expected = numbers_of(number, lines)
    return {key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)}


@pytest.mark.parametrize("number", TABLES)
def test_every_number_of_the_paper_stands_in_its_place_and_no_other_does(number):
    assert len(numbers_of(number, reported(number))) >= 26
    assert differences(number) == set()


@pytest.mark.parametrize("number", TABLES)
def test_a_changed_a_lost_and_an_added_number_are_noticed(number):
    rows = table_rows(number)
    place = next(i for i, row in enumerate(rows) if row["measure"] == "score_accuracy" and row["k"] > 0)
    row, key = rows[place], ("model", "dataset", "method", "k")
    where = (*(str(row[name]) for name in key), "score_accuracy")
    for other in (row["mean"] + 0.0001, None):
        assert differences(number, [*rows[:place], row | {"mean": other}, *rows[place + 1 :]]) == {where}
    last = max(r["row"] for r in rows) + 1
    extra = [r | {"row": last, "k": 99, "k_min": 99} for r in rows if r["row"] == rows[-1]["row"]]
    assert {where[3] for where in differences(number, rows + extra)} == {"99"}


def lines_of(number, methods):
    """(model, dataset, algorithm, k, role) of the lines that we would show, the unedited models apart."""
    lines = TABLES[number].lines(methods)
    return {(*line.method.path, str(line.k), line.role) for line in lines if line.k > 0}


def reported_lines(number, *columns):
    keys = ("model", "dataset", "algorithm", "k", *columns)
    return {tuple(line[key] for key in keys) for line in reported(number) if line["algorithm"] != "unedited"}


def without_role(lines):
    return {line[:4] for line in lines}


def test_table_1_follows_from_table_6():
    ours = lines_of("1", methods_of(runs("6", "7")))
    # where the criterion is never met we show the last iteration as well; the paper shows the first alone
    # (ROME) or the first two (Llama-2 MEMIT)
    unmet = {(model, "counterfact", "rome", "5", "last") for model in ("gpt2-xl", "gpt-j-6b", "llama-2-7b")}
    unmet |= {("llama-2-7b", "counterfact", "memit", "5", "last")}
    assert {line for line in ours if line[4] == "last"} == unmet
    theirs = reported_lines("1") - {("llama-2-7b", "counterfact", "memit", "2")}
    assert without_role(ours - unmet) == theirs


@pytest.mark.parametrize(("short", "full"), [("2", "8"), ("3", "9")])
def test_tables_2_and_3_follow_from_tables_8_and_9(short, full):
    ours, theirs = without_role(lines_of(short, methods_of(runs(full)))), reported_lines(short)
    if short == "2":  # never met; k = 8 to 10 are lost in the transcription
        ours -= {("llama-2-7b", "counterfact", "na_pmet", "7")}
        theirs -= {("llama-2-7b", "counterfact", "na_pmet", "10")}
    assert ours == theirs


def test_table_4_follows_from_tables_6_and_7():
    methods = methods_of(runs("6", "7"))
    ours, theirs = lines_of("4", methods), reported_lines("4", "stop_rule")
    # 0.01 at k = 9 and k = 10 as printed: only the rounding keeps it from falling
    ours -= {("gpt2-xl", "zsre", "pmet", "9", "monotonic")}
    # two rules agree; the transcription, which saw no colors, names the other one
    agreed = {("gpt-j-6b", "zsre", "memit", "3")}
    assert without_role(ours - theirs) == agreed == without_role(theirs - ours)
    rome = {(model, dataset, "rome") for model, dataset, *_ in theirs}
    memit = {("llama-2-7b", dataset, "memit") for dataset in ("counterfact", "zsre")}
    assert {method.path for method in never_stopped(methods)} == rome | memit


def test_table_10_shows_every_iteration_of_the_same_runs():
    assert without_role(lines_of("10", methods_of(runs("6", "7")))) == reported_lines("10")


@pytest.mark.parametrize("number", ["6", "7", "8", "9"])
def test_full_tables_show_every_line_of_the_paper(number):
    assert without_role(lines_of(number, methods_of(runs(number)))) == reported_lines(number)


def test_green_and_red_are_where_the_criterion_is_met_and_the_model_has_collapsed():
    tex = tex_of("6")
    rows = [line for line in tex.split(r"\endhead")[1].splitlines() if "&" in line]
    assert sum("green!15" in row for row in rows) == sum(line["selected"] == "1" for line in reported("6"))
    # all of ROME's, and Llama-2's MEMIT from its second iteration on
    assert sum("red!15" in row for row in rows) == 15 + 4
    assert "ten times the unedited model" in tex


def test_the_markdown_marks_what_the_rules_keep():
    table = printed("table4", table_rows("4"), labels=LABELS).md
    for rule in ("proposed", "monotonic", "small_change"):
        kept = [line for line in reported("4") if line["stop_rule"] == rule]
        assert len(re.findall(rf"{rule.replace('_', ' ')} \|", table)) == len(kept) > 0
    assert len(re.findall(r"\d\* \|", printed("table6", table_rows("6")).md)) == 5


@needs_latex
@pytest.mark.parametrize("intervals", [False, True])
def test_the_papers_tables_compile_within_the_margins(tmp_path, intervals):
    paths = []
    for number in TABLES:
        rows = table_rows(number)
        for row in rows:
            if row["measure"] in PERCENT and row["mean"] is not None:
                row |= {"low": max(0, row["mean"] - 0.0312), "high": min(1, row["mean"] + 0.0298)}
        tex = printed(f"table{number}", rows, ["A note."], LABELS, intervals).tex
        paths.append(tmp_path / f"table{number}.tex")
        paths[-1].write_text(tex)
    tex, files = document(TEMPLATES, paths, [], "Reported", [])
    assert latex.compile_pdf(tex, tmp_path / "a.pdf", tmp_path / "tex.log", files) == []

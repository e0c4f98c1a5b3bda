"""The comparison in print: every number of both sides in its place, and a PDF within its margins."""

import csv
import io
import math
import re

import pytest
from made_reported import NAMES, as_measured, reported_lines
from printed_tables import TEMPLATES
from printed_tables import printed as printed_table
from typesetting import needs_latex

from reedit.report.latex import compile as latex
from reedit.report.latex.document import document
from reedit.report.rows.comparison import compare
from reedit.report.tables.comparison_summary import LONGEST
from reedit.storage.schemas import MEASURES, SCHEMAS

LINES = reported_lines()
NUMBERS = (1, 2, 3, 4, 6, 7, 8, 9, 10)


def comparison_tex(rows, number):
    return printed_table(f"comparison{number}", rows).tex


def comparison_md(rows, number):
    return printed_table(f"comparison{number}", rows).md


def summary(rows):
    return printed_table("comparison", rows)


def off(tables, by=0.1):
    """All shares moved towards one half: nothing but slips agrees any more."""
    for row in (row for rows in tables.values() for row in rows):
        if row["measure"] in MEASURES:
            row["mean"] += by if row["mean"] < 0.5 else -by
    return tables


def of_table(rows, number):
    return [row for row in rows if row["table"] == number]


@pytest.fixture(scope="module")
def golden():
    return compare(LINES, as_measured(LINES), NAMES)


@pytest.fixture(scope="module")
def wrong():
    return compare(LINES, off(as_measured(LINES)), NAMES)


def printed(tex, source):
    """The texts and marks of the lines of a source, cell by cell, in order."""
    cells = []
    for line in tex.splitlines():
        parts = line.split("&")
        if len(parts) > 3 and parts[1].strip() == source:
            cells += [re.sub(r"\\\\\*?$|\\cellcolor\{[^}]*\}", "", part).strip() for part in parts[3:]]
    return [re.fullmatch(r"(.*?)\\makebox\[0\.9em\]\[r\]\{(.*)\}", cell.strip()).groups() for cell in cells]


@pytest.mark.parametrize("number", NUMBERS)
def test_every_reported_number_stands_over_ours_as_the_paper_prints_it(golden, number):
    tex = comparison_tex(of_table(golden, number), number)
    expected = []
    for row in of_table(golden, number):
        share = row["measure"] in MEASURES
        long = f"{row['reported']:.2E}" if row["tolerance"] > 0.005 else f"{row['reported']:.2f}"
        expected.append(f"{100 * row['reported']:.2f}" if share else long)
    paper, mine = printed(tex, "paper"), printed(tex, "released")
    assert [text for text, _ in paper if text] == expected
    marks = [mark for text, mark in mine if text]
    slips = [r"†" if row["verdict"] == "slip" else "=" for row in of_table(golden, number)]
    assert marks == slips and not any(mark for _, mark in paper)
    assert "difference" not in tex


def test_a_number_that_differs_is_marked_shaded_and_its_difference_told():
    (line,) = [x for x in LINES if (x.table, x.method, x.k, x.model) == (6, "memit", 2, "gpt2-xl")]
    tables = as_measured([line])
    tables[6][0]["mean"] -= 0.0567  # efficacy accuracy, 98.67
    tex = comparison_tex(compare([line], tables, NAMES), 6)
    assert printed(tex, "paper")[0] == ("98.67", "") and printed(tex, "released")[0] == ("93.00", "×")
    assert [text for text, _ in printed(tex, "difference") if text] == ["-5.67"]
    assert tex.count(r"\cellcolor{orange") == 1
    md = comparison_md(compare([line], tables, NAMES), 6)
    assert "93.00 ×" in md and "-5.67" in md


def test_a_number_of_three_digits_is_set_beside_three_digits():
    few = [x for x in LINES if (x.table, x.method, x.k, x.model) == (1, "rome", 1, "gpt2-xl")]
    tables = as_measured(few)
    for row in tables[1]:
        row["mean"] *= 1.0003  # 7072.12
    tex = comparison_tex(compare(few, tables, NAMES), 1)
    assert printed(tex, "released")[-2:] == [("7.07E+03", "="), ("7.15E+05", "=")]


def test_several_runs_of_a_line_stand_under_it_and_are_told_apart():
    (line,) = [x for x in LINES if (x.table, x.method, x.k, x.model) == (2, "memit", 4, "gpt2-xl")]
    second = as_measured([line], "corrected", k=3, row=1)[2]
    tex = comparison_tex(compare([line], {2: as_measured([line])[2] + second}, NAMES), 2)
    assert re.search(r"& paper & 4\b.*\n.*& released & 4\b.*\n.*& corrected & 3\b", tex)
    same = as_measured([line], method="memit_again", row=1)[2]
    names = NAMES | {"methods": {"memit_again": "memit"}}
    tex = comparison_tex(compare([line], {2: as_measured([line])[2] + same}, names), 2)
    assert r"released gpt2-xl/counterfact/memit\_again" in tex


def test_lines_that_were_not_measured_are_left_out_and_counted():
    few = [line for line in LINES if line.table == 2]
    rows = compare(few, as_measured([line for line in few if line.model == "gpt-j-6b"]), NAMES)
    tex = comparison_tex(rows, 2)
    assert "GPT-J, CounterFact, 960 edits" in tex and "Llama-2" not in tex
    assert "8 of 13 reported lines were not measured" in tex
    assert len(list(csv.DictReader(io.StringIO(printed_table("comparison2", rows).csv)))) == len(
        rows
    )  # all of them


def test_runs_of_another_size_say_so():
    few = [line for line in LINES if line.table == 2]
    tex = comparison_tex(compare(few, as_measured(few, edits=16), NAMES), 2)
    assert "Runs of 16 edits stand for" in tex


def test_an_experiment_that_stands_for_nothing_gives_one_sentence_and_no_tables():
    assert comparison_md([], 6).count("Nothing in this experiment") == 1
    assert re.fullmatch(r"%[^\n]*\n", comparison_tex([], 6))
    tex, lines, text = summary([])
    assert r"\begin{longtable}" not in tex and "stands for a model" in tex
    assert text.count(".") == 1 and lines.count("\n") == 1


def test_the_summary_counts_each_verdict_of_each_table_and_protocol(golden):
    tex, _, md = summary(golden)
    for number in NUMBERS:
        rows = of_table(golden, number)
        slips = sum(row["verdict"] == "slip" for row in rows)
        counts = [number, "released", len(rows), len(rows), len(rows) - slips, 0, 0, slips, 0, 0]
        assert " & ".join(map(str, counts)) + r" \\" in tex
        assert re.search(r"\| +".join(f"{count} *" for count in counts), md)
    assert "that differ" not in tex


def test_tables_that_did_not_run_are_counted_apart():
    some = as_measured([line for line in LINES if line.table == 1]) | {3: []}
    tex = summary(compare([line for line in LINES if line.table in (1, 3)], some, NAMES)).tex
    assert r"3 & not run & 26 & 0 & 0 & 0 & 0 & 0 & 26 & 0 \\" in tex


def test_the_summary_lists_the_largest_differences_first_and_the_rest_in_the_csv():
    tables = as_measured(LINES)
    by = {"efficacy_accuracy": 0.1, "score_success": 0.3, "specificity_accuracy": 0.2}
    for row in tables[8]:
        row["mean"] -= by.get(row["measure"], 0)
    rows = compare(LINES, tables, NAMES)
    found = list(csv.DictReader(io.StringIO(summary(rows).csv)))
    gaps = [abs(float(row["difference"])) for row in found if row["verdict"] == "differs"]
    assert gaps == sorted(gaps, reverse=True) and gaps[0] == pytest.approx(0.3) and len(gaps) > LONGEST
    tex = summary(rows).tex
    assert tex.count("score success &") == LONGEST and "efficacy accuracy &" not in tex
    assert f"{len(gaps) - LONGEST} more in results/tables/comparison.csv" in tex


def test_perplexities_are_listed_by_ratio_with_infinity_first():
    few = [line for line in LINES if line.table == 6 and line.method == "memit"]
    tables = as_measured(few)
    for row in tables[6]:
        if row["measure"] == "delta_p" and row["model"] == "gpt2-xl":
            row["mean"] = {1: 11000.0, 2: 7.7, 3: math.inf, 4: 0.48}[row["k"]]
    found = list(csv.DictReader(io.StringIO(summary(compare(few, tables, NAMES)).csv)))
    assert [row["k"] for row in found if row["verdict"] == "differs"] == ["3", "2", "1", "4"]
    assert "∞" in summary(compare(few, tables, NAMES)).md


def test_the_slips_met_are_listed_once_with_their_reasons(golden):
    twice = as_measured(LINES)
    for number, rows in as_measured(LINES, "corrected").items():
        twice[number] += [row | {"row": row["row"] + len(LINES)} for row in rows]
    for rows in (golden, compare(LINES, twice, NAMES)):  # a slip met by two runs is one slip
        md = summary(rows).md
        assert re.search(r"another table's number for the same run +\|.*\| +26 \|", md)
        assert re.search(r"printed as a negative number +\| GPT-2 XL ROME, GPT-J ROME +\| +6 \| +2 \|", md)
    assert "an absolute difference printed as a negative number" in summary(golden).tex


def test_the_csv_has_the_columns_of_the_parquet_unrounded(golden):
    found = list(csv.DictReader(io.StringIO(printed_table("comparison6", golden).csv)))
    assert list(found[0]) == SCHEMAS["comparison"].names
    first = of_table(golden, 6)[0]
    assert float(found[0]["reported"]) == first["reported"] and found[0]["low"] == ""


@needs_latex
def test_the_whole_comparison_compiles_within_its_margins_after_its_tables(wrong, tmp_path):
    (tmp_path / "comparison.tex").write_text(summary(wrong).tex)
    tables = []
    for number in NUMBERS:
        tables.append(tmp_path / f"table{number}.tex")
        tables[-1].write_text(f"TABLE{number}\n")
        tex = comparison_tex(of_table(wrong, number), number)
        (tmp_path / f"comparison{number}.tex").write_text(tex)
    comparisons = [tmp_path / f"comparison{number}.tex" for number in ("", *NUMBERS)]
    tex, files = document(TEMPLATES, [*tables, *comparisons], [], "Title", ["A note."])
    order = ["A note", "tables by verdict", "TABLE1\n", "Table 1, reported", "TABLE2\n", "Table 2, reported"]
    assert sorted(order, key=tex.index) == order
    assert latex.compile_pdf(tex, tmp_path / "a.pdf", tmp_path / "tex.log", files) == []

"""The rendered tables: rounding, escaping, bold and marks, and the refusal to print what is not there."""

import csv
import io
import math
import re

import pytest
from configurations import REPOSITORY
from made_runs import experiment
from printed_tables import TEMPLATES, printed

from reedit.errors import InputError
from reedit.report.contents import FIGURES
from reedit.report.figures.catalog import FIGURES as DRAWN
from reedit.report.latex.document import document
from reedit.report.latex.typeset import captions, escape, render
from reedit.report.rows.lines import methods_of
from reedit.report.rows.runs import Samples, table_rows
from reedit.report.tables.catalog import TABLES as ALL
from reedit.report.tables.paper import NUMBERS, TABLES
from reedit.report.words import half_up, percent, perplexity
from reedit.storage.schemas import MEASURES


def table_tex(rows, number, notes=(), labels=None, intervals=False):
    return printed(f"table{number}", rows, notes, labels, intervals).tex


def table_md(rows, number, notes=(), labels=None):
    return printed(f"table{number}", rows, notes, labels).md


def table_csv(rows, labels=None):
    return printed("table1", rows, labels=labels).csv


def line(row, method, k, role, means=None, **columns):
    """The rows of schema "table" of one printed line."""
    usual = {"model": "m", "dataset": "d", "format": "counterfact", "algorithm": method}
    usual |= {"assisted": False, "prefixed": False, "protocol": "corrected", "collapsed": False}
    numbers = {"spread": None, "low": None, "high": None}
    means = dict.fromkeys([*MEASURES, "me_ppl", "delta_p"], 0.5) | (means or {})
    usual |= {"k": k, "k_min": k, "role": role, "edits": 8, "trials": 1}
    common = usual | {"row": row, "method": method} | columns
    return [common | numbers | {"measure": name, "mean": value} for name, value in means.items()]


def tex_line(tex, name):
    return next(text for text in tex.splitlines() if f"& {name} &" in text)


def without_colors(tex):
    return re.sub(r"\\cellcolor\{[^}]*\}", "", tex)


def template(tmp_path, text):
    (tmp_path / "t.tex.j2").write_text(text)
    return tmp_path / "t.tex.j2"


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [(0.125, 2, "0.13"), (0.285, 2, "0.29"), (2.5, 0, "3"), (1.005, 2, "1.01"), (-0.125, 2, "-0.13")],
)
def test_rounding_is_half_up_on_the_shortest_decimal(value, decimals, expected):
    assert half_up(value, decimals) == expected


def test_numbers_are_printed_as_in_the_paper():
    assert percent(0.79) == "79.00%"
    assert percent(1.0) == "100.00%"
    assert percent(0.78995) == "79.00%"
    assert percent(2 / 3) == "66.67%"
    assert perplexity(11359.6) == "11359.60"
    assert perplexity(999999.994) == "999999.99"
    assert perplexity(999999.995) == "1.00E+06"
    assert perplexity(7.145e6) == "7.15E+06"
    assert perplexity(9.995e6) == "1.00E+07"
    assert perplexity(1.21e14) == "1.21E+14"
    assert perplexity(3e120) == "3.00E+120"
    assert (perplexity(math.inf), perplexity(math.nan)) == ("inf", "NaN")
    assert (percent(None), perplexity(None)) == ("", "")


def test_every_special_of_tex_is_escaped():
    assert escape(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert escape("$&%#_^~<>") == (r"\$\&\%\#\_\textasciicircum{}\textasciitilde{}\textless{}\textgreater{}")
    assert escape("[2pt]*") == "{[}2pt{]}{*}"
    assert escape("--''") == "-{}-'{}'"  # no dash, no quotation mark


def test_characters_without_a_glyph_are_replaced_and_control_characters_dropped():
    assert escape("Zürich, Łódź – Æ") == "Zürich, Łódź – Æ"
    assert escape("e\u0301") == "é"
    assert escape("ﬁ Ⅷ ạ") == "fi VIII a"
    assert escape("東\U0001f600") == "{[}U+6771{]}{[}U+1F600{]}"
    assert escape("Δp ≤ ∞") == r"\ensuremath{\Delta}p \ensuremath{\leq} \ensuremath{\infty}"
    assert escape("a\x00\x1b\u200b\u202eb\tc\nd\ud800") == "ab c d"


def test_a_template_escapes_by_itself_and_keeps_what_macros_made(tmp_path):
    text = r"((* macro strong(x) *))\textbf{((( x )))}((* endmacro *))((( strong(a) ))) ((( a ))) ((( 5 )))"
    assert render(template(tmp_path, text), "t.tex.j2", {"a": "50%"}) == r"\textbf{50\%} 50\% 5"
    assert render(template(tmp_path, '((( "a & <b" )))'), "t.tex.j2", {}) == r"a \& \textless{}b"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("((( missing )))", "'missing' is undefined"),
        ("((( cell )))", "a cell is None"),
        ("((( none )))", "a cell is None"),
        ("((( nan )))", "a cell is nan"),
        ("((( row.absent )))", "no attribute 'absent'"),
        ("((* if *))", "Expected an expression"),
        ('((* include "absent.j2" *))', "absent.j2: not found"),
    ],
)
def test_a_template_refuses_what_is_not_there(tmp_path, text, complaint):
    with pytest.raises(InputError, match=complaint):
        render(template(tmp_path, text), "t.tex.j2", {"cell": None, "nan": math.nan, "row": {}})


def test_the_higher_value_of_a_group_is_bold_and_ties_are_both(tmp_path):
    low, high = {"efficacy_accuracy": 0.7999996}, {"efficacy_accuracy": 0.8, "score_success": 0.4}
    rows = line(0, "memit", 1, "first", low) + line(1, "memit", 3, "selected", high)
    rows += line(2, "pmet", 1, "selected")
    lines = table_tex(rows, "1").splitlines()
    place = lines.index(next(text for text in lines if "& MEMIT &" in text))
    first, chosen = lines[place : place + 2]  # a method is named once
    assert r"\textbf{80.00\%}" in first and r"\textbf{80.00\%}" in chosen  # equal as printed
    assert r"\textbf{40.00\%}" not in chosen
    assert r"\textbf" not in tex_line(table_tex(rows, "1"), "PMET")  # no rival


def test_an_assisted_method_is_compared_with_the_plain_one():
    rows = line(0, "memit", 2, "selected", {"specificity_accuracy": 0.52})
    rows += line(
        1, "na_memit", 2, "selected", {"specificity_accuracy": 0.86}, algorithm="memit", assisted=True
    )
    rows += line(2, "pmet", 2, "selected", {"specificity_accuracy": 0.99})
    tex = table_tex(rows, "2")
    assert r"\textbf{86.00\%}" in tex_line(tex, r"NA\_MEMIT")
    assert r"\textbf{52.00\%}" not in tex and r"\textbf{99.00\%}" not in tex
    assert r"\#8 & PMET &" in tex


def test_rows_are_green_where_the_criterion_is_met_and_marked_where_not():
    rows = line(0, "memit", 1, "first") + line(1, "memit", 4, "selected") + line(2, "rome", 5, "last")
    tex = table_tex(rows, "1")
    green = [text for text in tex.splitlines() if "green!15" in text]
    assert len(green) == 1 and green[0].startswith(r"d &  & \cellcolor{green!15}4 &")
    assert r"ROME & 5† &" in tex and "criterion was not met" in tex
    assert "criterion was not met" not in table_tex(rows[:10], "1")
    assert "5†" in table_md(rows, "1")


def test_the_unedited_model_shows_no_accuracy_that_holds_by_definition():
    means = {"specificity_accuracy": 1.0, "score_accuracy": 0.123, "delta_p": None}
    rows = line(0, "unedited", 0, "unedited", means)
    cells = r"& Unedited & 0 & 50.00\% & 50.00\% & 50.00\% & 50.00\% &  & 50.00\% &  & 50.00\%"
    assert cells in table_tex(rows, "1")
    (found,) = csv.DictReader(io.StringIO(table_csv(rows)))
    assert (found["specificity_accuracy"], found["score_accuracy"], found["delta_p"]) == ("", "", "")


def test_the_unedited_model_shows_what_the_first_iteration_starts_from():
    means = {"ppl_initial": 4e4, "ppl_target": None, "ppl_edited": None, "delta_p": None}
    rows = line(0, "unedited", 0, "unedited", means)
    assert r"& 0.50 &  & 40000.00 &  \\" in table_tex(rows, "6")  # ME-PPL, optimised, edited
    assert "| 40000.00 |" in table_md(rows, "6")
    (found,) = csv.DictReader(io.StringIO(table_csv(rows)))
    assert (found["ppl_initial"], found["ppl_edited"]) == ("40000.0", "")


def test_two_protocols_in_a_block_name_their_unedited_models():
    rows = line(0, "unedited", 0, "unedited") + line(1, "unedited", 0, "unedited", protocol="released")
    assert "Unedited (corrected)" in table_md(rows, "1") and "Unedited (released)" in table_md(rows, "1")


def test_infinity_is_printed_everywhere_and_explained():
    rows = line(0, "rome", 1, "last", {"delta_p": math.inf, "me_ppl": math.nan})
    tex = table_tex(rows, "1")
    assert r"& NaN & \ensuremath{\infty} \\" in without_colors(tex) and "beyond the range" in tex
    assert "|    NaN |    inf |" in table_md(rows, "1") and "beyond the range" in table_md(rows, "1")
    (found,) = csv.DictReader(io.StringIO(table_csv(rows)))
    assert (found["delta_p"], found["me_ppl"]) == ("inf", "nan")


def test_the_csv_has_full_precision_spread_and_interval():
    rows = line(0, "memit", 1, "selected", {"efficacy_accuracy": 2 / 3})
    rows[0] |= {"spread": 0.1, "low": 0.6, "high": 0.7}
    (found,) = csv.DictReader(io.StringIO(table_csv(rows, {"memit": "MEMIT, ours"})))
    assert float(found["efficacy_accuracy"]) == 2 / 3
    names = ("efficacy_accuracy_spread", "efficacy_accuracy_low", "efficacy_accuracy_high")
    assert [found[name] for name in names] == ["0.1", "0.6", "0.7"]
    assert (found["label"], found["efficacy_success_spread"]) == ("MEMIT, ours", "")


def test_the_markdown_is_aligned_narrow_and_has_the_interval_of_the_score():
    rows = line(0, "unedited", 0, "unedited", model="smollm2-135m", dataset="worldfacts")
    rows += line(1, "na_memit", 10, "selected", model="smollm2-135m", dataset="worldfacts")
    for row in rows:
        if row["measure"].startswith("score"):
            row |= {"low": 0.4321, "high": 0.5678}
    text = table_md(rows, "2", ["one note " * 40])
    table = [text for text in text.splitlines() if text.startswith("|")]
    assert len(table) == 4 and len({len(text) for text in table}) == 1
    assert max(map(len, text.splitlines())) <= 140
    assert "| 50.0 [43.2, 56.8] |" in table[3]
    assert "| worldfacts #8 | NA_MEMIT | 10 |" in table[3]


def test_names_from_data_cannot_reach_tex_markdown_or_the_terminal():
    hostile = "\\input{/etc/passwd}\\write18{id}|\x1b[31m$%&"
    rows = line(0, "memit", 1, "selected", model=hostile, dataset="^^5cinput")
    tex = table_tex(rows, "1", [hostile], {"memit": r"\end{document}"})
    for command in (r"\input", r"\write", r"\end{document}", "^^", "\x1b"):
        assert command not in tex
    assert r"\textbackslash{}input\{/etc/passwd\}" in tex
    markdown = table_md(rows, "1", [hostile])
    assert "\x1b" not in markdown and r"\|" in markdown


def test_notes_and_labels_are_printed():
    rows = line(0, "na_memit", 1, "selected")
    notes = ["Model m, revision 0123", "8 edits, 1 trial"]
    labels = {"m": "SmolLM2", "na_memit": "MEMIT + NA"}
    tex, markdown = table_tex(rows, "1", notes, labels), table_md(rows, "1", notes, labels)
    assert "8 edits, 1 trial" in tex and "- 8 edits, 1 trial" in markdown
    assert "MEMIT + NA" in tex and "| SmolLM2" in markdown


def test_a_table_without_rows_says_so_in_one_line_and_adds_nothing_to_a_document(tmp_path):
    for number, words in (("2", "no neighbor-assisted runs"), ("7", "of ZsRE's kind"), ("4", "meets")):
        tex = table_tex([], number, ["a note"])
        assert tex.startswith(f"% Table {number}: This experiment has no") and words in tex
        assert tex.count("\n") == 1 and words in table_md([], number, ["a note"])
    assert table_csv([]).count("\n") == 1
    paths = [tmp_path / "table1.tex", tmp_path / "table2.tex"]
    paths[0].write_text("% Table 1: nothing.\n")
    paths[1].write_text(table_tex(line(0, "memit", 1, "selected"), "2"))
    tex, _ = document(TEMPLATES, paths, [], "t", [])
    assert "nothing" not in tex and tex.count(r"\setcounter") == tex.count(r"\begin{longtable}") == 1
    assert r"\setcounter{table}{1}" in tex


def side(row, dataset, k, role, **columns):
    """A line of a table with datasets side by side."""
    columns = {"dataset": dataset, "format": "zsre" if dataset.startswith("z") else "counterfact"} | columns
    means = {"score_accuracy": k / 10, "score_success": 0.5, "delta_p": float(k), "delta_p2": None}
    return line(row, columns.pop("method", "memit"), k, role, means, **columns)


def body(tex, panel=1):
    """The printed lines of a panel, without colors and bold."""
    text = re.sub(r"\\textbf\{([^}]*)\}", r"\1", without_colors(tex))
    found = text.split(r"\endhead")[panel].split(r"\bottomrule")[0]
    return [row.removesuffix("*").removesuffix(r"\\").strip() for row in found.splitlines() if "&" in row]


def test_datasets_stand_side_by_side_with_those_of_counterfacts_format_first():
    rows = side(0, "z", 3, "proposed") + side(1, "z", 4, "small_change") + side(2, "a", 2, "proposed")
    tex = table_tex(rows, "4", labels={"a": "A", "z": "Z"})
    assert tex.index(r"\multicolumn{4}{c}{A}") < tex.index(r"\multicolumn{4}{c}{Z}")
    assert body(tex) == [
        r"m & MEMIT & 2 & 20.00\% & 2.00 &  & 3 & 30.00\% & 3.00 &",
        r"&  &  &  &  &  & 4 & 40.00\% & 4.00 &",
    ]
    green, purple = tex.split(r"\endhead")[1].splitlines()[1:3]
    assert green.count("green!15") == 8 and purple.count("violet!15") == 4 and "green" not in purple
    assert r"\textbf{40.00\%}" in purple and r"\textbf{20.00\%}" not in green  # no rival among a's


def test_a_shared_k_aligns_the_iterations_of_both_datasets():
    rows = side(0, "z", 0, "unedited", method="unedited") + side(1, "z", 2, "proposed")
    rows += side(2, "a", 1, "iteration") + side(3, "a", 2, "proposed")
    assert body(table_tex(rows, "10")) == [
        r"m & Unedited & 0 &  &  &  &  &  & 50.00\% & 0.00 &",
        r"m & MEMIT & 1 & 10.00\% & 50.00\% & 1.00 &  &  &  &  &",
        r"&  & 2 & 20.00\% & 50.00\% & 2.00 &  & 20.00\% & 50.00\% & 2.00 &",
    ]


def test_a_third_dataset_has_a_panel_of_its_own_under_the_same_number():
    rows = [row for n, name in enumerate("abz") for row in side(n, name, 1, "proposed")]
    rows += side(3, "z", 1, "proposed", model="n")
    tex = table_tex(rows, "4")
    assert tex.count(r"\begin{longtable}") == 2 and tex.count(r"\addtocounter{table}{-1}") == 1
    assert len(body(tex, 1)) == 1 and [row[0] for row in body(tex, 2)] == ["m", "n"]
    assert r"\multicolumn{4}{c}{z}" not in tex.split(r"\end{longtable}")[0]


def test_full_tables_break_between_methods_and_name_the_model_again():
    rows = line(0, "memit", 1, "first") + line(1, "memit", 2, "selected")
    rows += line(2, "na_memit", 1, "selected", algorithm="memit", assisted=True)
    rows += line(3, "na_memit", 2, "iteration", algorithm="memit", assisted=True)
    printed = table_tex(rows, "8").split(r"\endhead")[1].splitlines()
    ends = [text.endswith(r"\\*") for text in printed if "&" in text]
    assert ends == [True, False, True, False]
    assert [text.partition("&")[0].strip() for text in printed if "&" in text] == ["m", "d", r"\#8", ""]
    many = [row for n, name in enumerate(("memit", "pmet", "rome")) for row in line(n, name, 1, "last")]
    assert [row.partition("&")[0].strip() for row in body(table_tex(many, "6"))] == ["m", "d", "m"]


def test_a_block_of_a_short_table_stays_on_one_page_unless_it_is_too_long_for_one():
    for methods, breaks in ((3, 0), (40, 39)):
        rows = [row for n in range(methods) for row in line(n, f"memit{n}", 1, "last")]
        printed = [text for text in table_tex(rows, "1").splitlines() if "& MEMIT" in text]
        assert sum(text.endswith(r"\\") for text in printed[:-1]) == breaks
        assert printed[-1].endswith(r"\\")


def test_only_the_lines_that_are_compared_can_be_bold():
    means = {"efficacy_accuracy": 0.9}
    rows = line(0, "memit", 1, "first") + line(1, "memit", 2, "selected", {"efficacy_accuracy": 0.6})
    rows += line(2, "memit", 3, "iteration", means)
    assert r"\textbf{60.00\%}" in table_tex(rows, "6")
    assert r"\textbf{90.00\%}" not in table_tex(rows, "6")


def test_a_collapsed_model_is_red_and_told_even_where_the_criterion_is_met():
    rows = line(0, "rome", 1, "last", collapsed=True) + line(1, "memit", 1, "selected", collapsed=True)
    rome, memit = (tex_line(table_tex(rows, "1"), name) for name in ("ROME", "MEMIT"))
    assert rome.count("red!15") == 11 and memit.count("red!15") == 1 and memit.count("green!15") == 10
    assert r"\cellcolor{red!15}0.50 & \cellcolor{green!15}0.50" in memit  # ME-PPL, then |delta p|
    assert "has collapsed" in table_tex(rows, "1")


def test_intervals_are_printed_where_asked_for_and_known():
    rows = line(0, "memit", 1, "selected", {"efficacy_accuracy": 0.79})
    rows[0] |= {"low": 0.7, "high": 0.862}
    tex = table_tex(rows, "1", intervals=True)
    assert r"\withinterval{79.00\%}{{[}70.0, 86.2{]}}" in tex and "bootstrap interval" in tex
    assert tex.count(r"\withinterval{") == 1
    assert "withinterval" not in table_tex(rows, "1")


def test_every_table_has_a_title_and_those_of_the_paper_a_caption():
    assert [str(number) for number in range(1, 11)] == NUMBERS
    for number in NUMBERS:
        title = ALL[f"table{number}"].title
        assert re.fullmatch(r"[\w', :,-]+\.", title) and "_" not in title
        assert captions(TEMPLATES)["tables"][f"table{number}"]


def test_every_figure_has_a_caption_in_the_document_and_in_snakemakes_report():
    page = (REPOSITORY / "reports/captions/figure.rst").read_text(encoding="utf-8")
    assert [name for name in FIGURES if f'== "{name}"' not in page] == []
    assert captions(TEMPLATES)["figures"].keys() == FIGURES.keys() == DRAWN.keys()


def test_tables_of_made_up_runs_render_and_repeat_byte_for_byte(tmp_path):
    assisted = {"method": "na_memit", "assisted": True}
    runs, paths = experiment(
        tmp_path, [{"method": "memit", "delta_p": [9.0, 0.1]}, assisted | {"delta_p": [0.5]}]
    )
    samples = Samples(paths, seed=0)
    for number in ("1", "2", "6", "10"):
        rows, again = (table_rows(TABLES[number].lines(methods_of(runs)), samples) for _ in range(2))
        assert table_tex(rows, number) == table_tex(again, number)
        assert table_csv(rows) == table_csv(again)

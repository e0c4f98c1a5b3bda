"""Differences in print: the sentence, the sign, what is bold, and one sentence where there is nothing."""

import csv

import pytest
from printed_tables import printed

from reedit.report.figures.differences import differences as drawn_differences
from reedit.report.tables.differences import DIFFERENCES, excludes_zero, sentence
from reedit.report.words import signed
from reedit.storage.schemas import MEASURES, SCHEMAS


def row(measure="specificity_accuracy", mean=-0.0123, low=-0.02, high=-0.004, **others):
    """One row of schema "differences"."""
    usual = {"row": 0, "comparison": "iteration", "model": "gpt2-xl", "dataset": "counterfact"}
    usual |= {"algorithm": "memit", "protocol": "corrected", "edits": 100, "trials": 1, "pairs": 100}
    usual |= {"method": "memit", "k": 4, "role": "selected"}
    usual |= {"reference": "memit", "reference_k": 1, "reference_role": "first"}
    found = usual | {"measure": measure, "mean": mean, "low": low, "high": high} | others
    return {"k_min": found["k"], "reference_k_min": found["reference_k"]} | found


ASSISTANCE = {"comparison": "assistance", "method": "na_memit", "k": 3, "reference_k": 5}
ASSISTANCE |= {"role": "last", "reference_role": "selected", "row": 1}


def comparison(**others):
    """All measures of one comparison, each another difference."""
    return [
        row(measure, mean=0.01 * n, low=0.01 * n - 0.02, high=0.01 * n + 0.02, **others)
        for n, measure in enumerate(MEASURES)
    ]


def test_a_row_is_a_plain_sentence():
    assert sentence(row(), {}) == (
        "MEMIT, iterated to k=4 against k=1: **specificity accuracy -1.2 points [-2.0, -0.4]**"
    )
    assert sentence(row("score_success", 0.125, -0.001, 0.2, **ASSISTANCE), {"na_memit": "Assisted"}) == (
        "Assisted at k=3† against MEMIT at k=5: score success +12.5 points [-0.1, 20.0]"
    )
    unmeasured = row(mean=None, low=None, high=None)
    assert sentence(unmeasured, {}) == "MEMIT, iterated to k=4 against k=1: specificity accuracy not measured"


@pytest.mark.parametrize(
    ("difference", "text"),
    [(0.125, "+12.5"), (-0.0125, "-1.3"), (-0.0004, "0.0"), (0.0, "0.0"), (0.00049, "0.0"), (-1.0, "-100.0")],
)
def test_a_difference_carries_its_sign_and_zero_none(difference, text):
    assert signed(difference) == text


@pytest.mark.parametrize(
    ("low", "high", "bold"),
    [(0.001, 0.2, True), (-0.2, -0.001, True), (0.0, 0.2, False), (-0.1, 0.1, False), (None, None, False)],
)
def test_bold_is_an_interval_that_excludes_zero(low, high, bold):
    assert excludes_zero(row(low=low, high=high)) == bold


def test_the_markdown_has_every_sentence_under_its_block():
    rows = comparison() + comparison(**ASSISTANCE) + comparison(row=2, model="gpt-j-6b", dataset="x\x1b[1m")
    text = printed("differences", rows, ["Model gpt2-xl."]).md
    for title in ("\ngpt2-xl, counterfact, 100 edits:\n", "\ngpt-j-6b, x [1m, 100 edits:\n"):
        assert text.count(title) == 1
    assert text.count("points [") == len(rows) and "\x1b" not in text
    assert "† the criterion" in text and text.endswith("- Model gpt2-xl.\n")
    assert "†" not in printed("differences", comparison()).md
    unjudged = printed("differences", comparison(role="unjudged")).md
    assert "k=4‡ against" in unjudged and "‡ abs Δp was not measured" in unjudged and "†" not in unjudged


def test_the_csv_has_unrounded_numbers_and_empty_cells():
    rows = comparison()
    rows[0] |= {"mean": 1 / 3}
    rows[1] |= dict.fromkeys(("mean", "low", "high"))
    lines = list(csv.DictReader(printed("differences", rows).csv.splitlines()))
    assert list(lines[0]) == SCHEMAS["differences"].names
    assert float(lines[0]["mean"]) == 1 / 3
    assert [lines[1][name] for name in ("mean", "low", "high")] == ["", "", ""]


def test_the_tex_has_a_line_for_accuracy_and_one_for_success():
    tex = printed("differences", comparison(pairs=77), ["50 % & more"], {"memit": "M_1"}).tex
    lines = [line for line in tex.splitlines() if line.startswith(("M\\_1", " & "))]
    accuracy = next(
        line for line in tex.splitlines() if line.startswith("M\\_1, iterated to k=4 against k=1 & 77")
    )
    assert accuracy and any("accuracy" in line for line in lines) and any("success" in line for line in lines)
    assert r"\textbf{+4.0}\makebox[7.2em][r]{{[}2.0, 6.0{]}}" in tex and r"\textbf{+1.0}" not in tex
    assert r"50 \% \& more" in tex and r"\caption*" in tex


def test_nothing_to_compare_is_one_sentence():
    tex, lines, text = printed("differences", [])
    assert DIFFERENCES.empty in text and "[" not in text
    assert DIFFERENCES.empty in tex and "longtable}" not in tex.partition("\n")[2]
    assert len(lines.splitlines()) == 1


# -- the figure ---------------------------------------------------------------------------------------------


def figure_rows():
    methods = {"memit": (0.4, 0.1, 0.7), "na_memit": (0.02, -0.1, 0.1)}
    return [
        row(f"{metric}_{kind}", mean, low, high, method=method, row=number)
        for number, (method, (mean, low, high)) in enumerate(methods.items())
        for metric in ("efficacy", "generalization", "specificity")
        for kind in ("accuracy", "success")
    ]


def test_a_point_of_the_figure_is_filled_where_its_interval_leaves_zero_out():
    figure = drawn_differences(figure_rows(), {"memit": "MEMIT of $5"})
    figure.draw_without_rendering()
    efficacy = figure.axes[0]
    words = [tick.get_text() for tick in efficacy.get_yticklabels()]
    assert len(words) == 3 and words[1].startswith("MEMIT of $5"), "the block's title, then its comparisons"
    points = [line for line in efficacy.lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in points] == [(0.4, 1), (0.02, 2)]
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, True]
    spans = [line.get_xdata() for line in efficacy.lines if len(line.get_xdata()) == 2][1:]
    assert [list(span) for span in spans] == [[0.1, 0.7], [-0.1, 0.1]]


def test_without_comparisons_the_figure_says_so():
    figure = drawn_differences([], {})
    assert "Nothing is compared" in figure.texts[0].get_text()


def test_the_highest_score_is_said_to_be_known_in_hindsight_alone():
    rows = comparison(comparison="stopping", role="last", reference_k=2, reference_role="highest")
    assert sentence(rows[0], {}).startswith("MEMIT, stopped at k=4† against k=2 of the highest score: ")
    assert "no rule" in printed("differences", rows).md
    sure = row(comparison="stopping", reference_k=2, reference_role="highest")
    assert excludes_zero(row()) and not excludes_zero(sure) and "**" not in sentence(sure, {})
    assert "no rule" not in printed("differences", comparison()).md

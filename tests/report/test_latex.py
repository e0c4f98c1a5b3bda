"""The PDF: compiled from hostile names, the same bytes each time, and one clear line where it fails."""

import math
import os
import stat

import pytest
from made_norms import norm_row
from made_runs import case_table, experiment, generated_runs
from printed_tables import TEMPLATES, printed
from typesetting import needs_latex

from reedit.errors import InputError
from reedit.report.figures.courses import norms as draw_norms
from reedit.report.figures.courses import perplexity, scores
from reedit.report.figures.distribution import distribution
from reedit.report.figures.drawing import save
from reedit.report.figures.example import example
from reedit.report.figures.tradeoff import tradeoff
from reedit.report.figures.underedit import underedit
from reedit.report.latex import compile as latex
from reedit.report.latex.document import document
from reedit.report.latex.typeset import KNOWN, SPECIALS, SYMBOLS, escape
from reedit.report.rows.differences import difference_rows, judged_cases
from reedit.report.rows.generation import generation_rows
from reedit.report.rows.lines import methods_of
from reedit.report.rows.norms import BLOWING_UP
from reedit.report.rows.runs import Samples, table_rows
from reedit.report.tables.paper import TABLES

HOSTILE = "\\input{/etc/passwd} \\write18{touch x} $&%#_{}^~<>|\"`'[] é Ł 東京 Δ \x00"


def fake(folder, name, script):
    """An executable called `name` that is found before the real one."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@needs_latex
def test_the_whole_document_compiles_within_its_margins_and_repeats(tmp_path):
    usual = {"model": "\\write18{id} $&%#_^~", "dataset": "worldfacts"}
    methods = [
        {"method": "rome", "delta_p": [7.1e14, math.inf]},
        {"method": "memit", "delta_p": [11359.6, 3.0, 0.4]},
        {"method": "na_memit", "assisted": True, "delta_p": [11359.6, 0.4]},
        {"method": "nap_memit_released", "algorithm": "memit", "assisted": True, "delta_p": [4.0]},
    ]
    runs, paths = experiment(tmp_path, [usual | method for method in methods], cases=10)
    samples, numbers = Samples(paths, seed=0), list(TABLES)
    for number in numbers:
        rows = table_rows(TABLES[number].lines(methods_of(runs)), samples)
        tex = printed(f"table{number}", rows, [HOSTILE]).tex
        (tmp_path / f"table{number}.tex").write_text(tex)
    cases = case_table(runs, paths)
    differences = difference_rows(runs, judged_cases(cases), seed=0)
    assert {row["comparison"] for row in differences} == {"iteration", "assistance"}
    (tmp_path / "differences.tex").write_text(printed("differences", differences, [HOSTILE]).tex)
    drawn = []
    for draw, data in [
        (perplexity, [runs]),
        (scores, [runs]),
        (example, [[]]),
        (underedit, [runs, cases]),
        (distribution, [runs, cases]),
        (tradeoff, [runs, cases, 0]),
    ]:
        drawn.append(tmp_path / f"{draw.__name__}.pdf")
        save(draw(*data, {}), drawn[-1], tmp_path / f"{draw.__name__}.png")
    tables = [tmp_path / f"{name}.tex" for name in ("differences", *(f"table{n}" for n in numbers))]
    notes = [HOSTILE, "sha256 " + "0123456789abcdef" * 12]
    tex, files = document(TEMPLATES, tables, drawn, "Measured tables", notes)
    made = [tmp_path / "a.pdf", tmp_path / "b.pdf"]
    for pdf in made:
        assert [w for w in latex.compile_pdf(tex, pdf, tmp_path / "tex.log", files) if w > 1] == []
    assert made[0].read_bytes().startswith(b"%PDF") and made[0].read_bytes() == made[1].read_bytes()
    assert "document.tex" in (tmp_path / "tex.log").read_text()


@needs_latex
def test_the_tables_that_the_paper_has_not_compile_within_the_margins(tmp_path):
    methods = [
        {
            "method": method,
            "model": "gpt-neox-20b \\x",
            "dataset": "counterfact_$eligible",
            "delta_p": [9.0, 2.0],
        }
        for method in ("nap_memit_released", "na_pmet")
    ]
    runs, files = generated_runs(tmp_path, [m | {"algorithm": "memit"} for m in methods], cases=120)
    norms = [
        norm_row(
            m["method"], k, m["model"], m["dataset"], reading=BLOWING_UP, condition=1.5e12, residual_after=9.0
        )
        for m in methods
        for k in range(12)
    ]
    tables = {
        "generation": printed("generation", generation_rows(runs, files, 0), [HOSTILE]).tex,
        "norms": printed("norms", norms, [HOSTILE]).tex,
    }
    for name, tex in tables.items():
        (tmp_path / f"{name}.tex").write_text(tex)
    save(draw_norms(norms, {}), tmp_path / "norms.pdf", tmp_path / "norms.png")
    paths = [tmp_path / f"{name}.tex" for name in tables]
    tex, used = document(TEMPLATES, paths, [tmp_path / "norms.pdf"], "Measured", [])
    assert "More SPREAD, or blowing up?" in tex  # the figure has its caption
    wide = latex.compile_pdf(tex, tmp_path / "a.pdf", tmp_path / "tex.log", used)
    assert [width for width in wide if width > 1] == []


@needs_latex
def test_every_character_that_is_let_through_has_a_glyph(tmp_path):
    text = "".join(sorted(KNOWN | set(SPECIALS) | set(SYMBOLS))) + "".join(map(chr, range(32, 127)))
    lines = r"\par ".join(escape(text[start : start + 20]) for start in range(0, len(text), 20))
    preamble = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{lmodern}"
    )
    tex = rf"{preamble}\begin{{document}}{lines}\end{{document}}"
    latex.compile_pdf(tex, tmp_path / "a.pdf", tmp_path / "tex.log")
    assert "Missing character" not in (tmp_path / "tex.log").read_text()


@needs_latex
@pytest.mark.parametrize(
    "command", [r"\undefinedcommand", r"\input{/etc/passwd}", r"\input{../../../../etc/passwd}"]
)
def test_the_first_error_of_tex_is_reported_and_nothing_is_left(tmp_path, command):
    tex = f"\\documentclass{{article}}\n\\begin{{document}}\nx {command}\n\\end{{document}}\n"
    with pytest.raises(InputError) as error:
        latex.compile_pdf(tex, tmp_path / "out" / "a.pdf", tmp_path / "tex.log")
    message = str(error.value)
    assert "\n" not in message and "l.3" in message and str(tmp_path / "tex.log") in message
    assert (tmp_path / "tex.log").stat().st_size > 0 and not (tmp_path / "out" / "a.pdf").exists()


@needs_latex
def test_a_document_cannot_run_a_command(tmp_path):
    target = tmp_path / "ran"
    body = rf"\immediate\write18{{touch {target}}}x"
    latex.compile_pdf(
        rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}",
        tmp_path / "a.pdf",
        tmp_path / "tex.log",
    )
    assert not target.exists()


def test_without_an_engine_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="install latexmk and texlive-latex-recommended"):
        latex.compile_pdf("x", tmp_path / "a.pdf", tmp_path / "tex.log")


def test_tectonic_is_used_where_there_is_no_latexmk(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    fake(tmp_path, "tectonic", '[ "$1" = --untrusted ] && echo pdf > document.pdf && echo log > document.log')
    assert latex.engine()[0] == "tectonic"
    latex.compile_pdf("x", tmp_path / "a.pdf", tmp_path / "tex.log")
    assert (tmp_path / "a.pdf").read_text() == "pdf\n"


def test_an_engine_that_ends_too_early_is_called_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    calls = tmp_path / "calls"
    warning = "Package longtable Warning: Table widths have changed. Rerun LaTeX."
    fake(tmp_path, "pdflatex", "exit 0")
    script = f'echo "$@" >> "{calls}"; echo pdf > document.pdf; echo > document.log'
    fake(tmp_path, "latexmk", f'{script}; [ $(wc -l < "{calls}") -gt 2 ] || echo "{warning}" > document.log')
    latex.compile_pdf("x", tmp_path / "a.pdf", tmp_path / "tex.log")
    forced = [call.endswith(" -g") for call in calls.read_text().splitlines()]
    assert forced == [False, True, True]


def test_an_engine_that_hangs_is_ended(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(latex, "TIMEOUT", 1.0)
    for name in ("latexmk", "pdflatex"):
        fake(tmp_path, name, "sleep 60 & wait")
    with pytest.raises(InputError, match="more than 1 s"):
        latex.compile_pdf("x", tmp_path / "a.pdf", tmp_path / "tex.log")


def test_a_missing_figure_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    fake(tmp_path, "tectonic", "exit 0")
    with pytest.raises(InputError, match=r"perplexity\.pdf: no such figure"):
        latex.compile_pdf("x", tmp_path / "a.pdf", tmp_path / "l", {"f.pdf": tmp_path / "perplexity.pdf"})


def test_the_first_error_is_found_in_a_log():
    log = "This is pdfTeX\n! Undefined control sequence.\n<recently read> \\foo\n\nl.12 \\foo\n! Later.\n"
    assert latex.first_error(log) == "Undefined control sequence. l.12 \\foo"
    assert latex.first_error("note: x\nerror: document.tex:3: bad\n") == "error: document.tex:3: bad"
    assert latex.first_error("") == "it wrote no log"
    assert latex.overfull("Overfull \\hbox (12.5pt too wide) in paragraph\n") == [12.5]

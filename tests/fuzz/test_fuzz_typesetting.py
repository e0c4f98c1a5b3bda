"""What is printed: any name, label or note comes out as text, in TeX and its PDF, Markdown and CSV."""

import csv
import io
import re
import shutil
import subprocess
import unicodedata
from pathlib import Path

import pytest
from configurations import SCHEMA
from hostile import TEXT, UNICODE, file_of, share
from hypothesis import example, given
from hypothesis import strategies as st
from made_runs import experiment
from printed_tables import TEMPLATES
from printed_tables import printed as printed_table
from typesetting import needs_latex

from reedit.report.figures import example as example_figure
from reedit.report.figures.courses import scores
from reedit.report.figures.drawing import printable
from reedit.report.latex import compile as latex
from reedit.report.latex.document import document
from reedit.report.latex.typeset import KNOWN, SPECIALS, SYMBOLS, escape
from reedit.report.rows.lines import methods_of
from reedit.report.rows.runs import Samples, table_rows
from reedit.report.tables.paper import TABLES
from reedit.report.tables.render import aligned, bullets
from reedit.storage.schemas import SCHEMAS

# every command that a text can become; what is left must be characters that mean nothing to TeX
COMMANDS = sorted(
    {*SPECIALS.values(), r"\allowbreak{}", "{}", *(rf"\ensuremath{{{sign}}}" for sign in SYMBOLS.values())},
    key=len,
    reverse=True,
)
INERT = re.compile(
    "(?:" + "|".join(map(re.escape, COMMANDS)) + r"|\{\[\}U\+[0-9A-F]{4,6}\{\]\}|[^\\{}$&#^_~%])*"
)
GLYPHS = r"\input{glyphtounicode}\pdfgentounicode=1\begin{document}"  # a PDF that can be searched
PREAMBLE = (
    r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage[utf8]{inputenc}\usepackage{lmodern}"
    rf"\pagestyle{{empty}}\parindent=0pt{GLYPHS}"
)
LABEL = SCHEMA["$defs"]["Report"]["properties"]["labels"]["additionalProperties"]["pattern"]
LABELS = TEXT.filter(re.compile(LABEL).fullmatch).filter(str.strip)
needs_pdftotext = pytest.mark.skipif(not shutil.which("pdftotext"), reason="no pdftotext on this machine")


@given(TEXT, st.booleans())
def test_a_text_becomes_nothing_but_known_commands_and_inert_characters(text: str, breaks: bool) -> None:
    made = escape(text, breaks)
    assert INERT.fullmatch(made), made
    assert set(made) <= {*map(chr, range(32, 127)), *KNOWN}
    assert escape(text) == made.replace(r"\allowbreak{}", "")


def printed(text: str) -> str:
    """What a reader of the PDF should see of a text, spaces aside: its code point where there is no glyph."""
    signs = {"−": "-", **{sign: sign for sign in SYMBOLS if sign != "−"}}
    seen = ""
    for character in unicodedata.normalize("NFC", text):
        plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
        if character in signs:
            seen += signs[character]
        elif " " <= character <= "~" or character in KNOWN:
            seen += character
        elif character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            continue
        elif plain and plain.isascii():
            seen += plain
        else:
            seen += f"[U+{ord(character):04X}]"
    return comparable(seen)


def comparable(text: str) -> str:
    """Without what a PDF does not keep: spaces, accents, and which of two signs of one shape it is."""
    text = unicodedata.normalize("NFKD", text).translate({0x2019: "'", 0x2018: "`", 0x2212: "-"})
    for found, meant in [
        *("ϵε", "∆Δ", "ĐÐ", "ıi", "ȷj"),
        (",", ""),
        ("`", ""),
    ]:  # Ļ is drawn as L and a comma
        text = text.replace(found, meant)
    return "".join(c for c in text if c.isprintable() and not c.isspace() and not unicodedata.combining(c))


def reads_straight(text: str) -> bool:
    """Whether a PDF gives a text back in its order: nothing from right to left, no accents of their own."""
    return not any(
        unicodedata.combining(c) or unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text
    )


def text_of(pdf: Path) -> str:
    done = subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, check=True)
    return comparable(done.stdout.decode())


@needs_latex
@needs_pdftotext
@share(50)
@example(sorted(KNOWN | set(SPECIALS) | set(SYMBOLS)))
@given(st.lists(TEXT, min_size=30, max_size=60))
def test_every_text_is_printed_in_the_pdf_as_it_stands(texts: list[str]) -> None:
    paragraphs = [f"<{number}>{text[:300]}" for number, text in enumerate(texts)]
    body = r"\par ".join(escape(text, breaks=True) for text in paragraphs)
    with file_of(b"") as pdf:
        latex.compile_pdf(rf"{PREAMBLE}{body}\end{{document}}", pdf, pdf.with_name("log"))
        found = text_of(pdf)
    for text in paragraphs:
        assert printed(text) in found, (text, found)


MADE = [{"method": "memit", "delta_p": [9.0, 0.5]}]


@needs_latex
@needs_pdftotext
@share(100)
@given(st.lists(LABELS, min_size=3, max_size=3), st.lists(TEXT, min_size=2, max_size=2))
def test_labels_and_notes_of_any_text_are_printed_in_the_document(words: list[str], notes: list[str]) -> None:
    model, dataset, method = (text[:60] for text in words)
    notes = [text[:300] for text in notes]
    labels = {"smollm2-135m": f"A{model}", "worldfacts": f"B{dataset}", "memit": f"C{method}"}
    with file_of(b"") as pdf:
        runs, paths = experiment(pdf.parent, MADE, cases=6)
        rows = table_rows(TABLES["1"].lines(methods_of(runs)), Samples(paths, seed=0))
        table = pdf.with_name("table1.tex")
        texts = printed_table("table1", rows, notes, labels)
        table.write_text(texts.tex)
        made_by = [f"D{note}" for note in notes]
        tex, files = document(TEMPLATES, [table], [], "T", made_by)
        latex.compile_pdf(tex.replace(r"\begin{document}", GLYPHS), pdf, pdf.with_name("log"), files)
        found = text_of(pdf)
        lines = list(csv.DictReader(io.StringIO(texts.csv, newline="")))
    for text in [labels["smollm2-135m"], labels["memit"], *notes, *made_by]:
        assert printed(text) in found, (text, found)
    assert {line["label"] for line in lines} >= {labels["memit"]}
    assert all(line.isprintable() for line in texts.md.split("\n"))


@given(st.lists(st.lists(TEXT, min_size=3, max_size=3), min_size=1, max_size=4), st.lists(TEXT, max_size=3))
def test_markdown_has_a_line_a_row_whatever_stands_in_it(grid: list[list[str]], notes: list[str]) -> None:
    lines = aligned(grid)
    assert len(lines) == len(grid) + 1 and len({len(line) for line in lines}) == 1
    for line in [*lines, *bullets(notes)]:
        assert line.isprintable()
    for line in lines:
        assert len(re.findall(r"(?<!\\)\|", line.replace("\\\\|", "\\|"))) == 4


@given(LABELS)
def test_a_name_of_any_text_comes_back_from_the_csv_as_it_is(name: str) -> None:
    row = dict.fromkeys(SCHEMAS["eligible"].names, 1) | {"model": name}
    (read,) = csv.DictReader(io.StringIO(printed_table("eligible", [row]).csv, newline=""))
    assert read["model"] == name


@needs_pdftotext
@share(50)
@given(
    st.lists(LABELS.filter(reads_straight), min_size=3, max_size=3),
    st.lists(UNICODE, min_size=3, max_size=3),
)
def test_figures_are_drawn_with_labels_and_facts_of_any_text(words: list[str], fact: list[str]) -> None:
    """A dollar sign is one: matplotlib would read mathematics, or fail at it."""
    model, dataset, method = (f"Q{text[:30]}" for text in words)
    labels = {"smollm2-135m": model, "worldfacts": dataset, "memit": method}
    prompt, new, true = (text[:40] for text in fact)
    told = {"prompt": prompt, "target_new": new, "target_true": true, "under_edit": True, "case_id": 1}
    with file_of(b"") as pdf:
        runs, _ = experiment(pdf.parent, MADE, cases=6)
        drawn = {}
        course = [row | told | {"efficacy_accuracy": 1.0} for row in runs if row["k"] > 0]
        png = pdf.with_name("png")
        for draw, rows in [(scores, runs), (example_figure.example, course)]:
            draw(rows, pdf, png, labels)
            drawn[draw] = text_of(pdf)
    for text in (model, dataset):
        assert comparable(printable(text)) in drawn[example_figure.example], (text, drawn)
    assert comparable(printable(method)) in drawn[scores], (method, drawn[scores])

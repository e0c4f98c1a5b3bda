"""Text to TeX: escaping, and templates that cannot skip it.

Every expression in a template passes through `finalize`, which escapes it and refuses what was not
measured. What is TeX already says so by being Markup (a macro's result is).
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reedit.errors import InputError
from reedit.storage.yaml_files import read_mapping

SPECIALS = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # after \\ a bracket or a star would be an argument
    "]": "{]}",
    "*": "{*}",
}
SYMBOLS = {
    "Δ": r"\Delta",
    "δ": r"\delta",
    "θ": r"\theta",
    "λ": r"\lambda",
    "ε": r"\varepsilon",
    "−": "-",
    "∞": r"\infty",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "↑": r"\uparrow",
    "↓": r"\downarrow",
}
# Latin letters and punctuation that T1 and utf8 know; the exceptions have no glyph there
LATIN = {chr(code) for code in range(0xA1, 0x17F)} - set("\u00adĦħĸĿŀŉŦŧ")
KNOWN = LATIN | set("–—‘’“”…•†‡→€ȘșȚț")
LIGATURES = set("-,'")  # doubled, T1 would join them
BREAKABLE = set("/_-.:=@")

Templates = str | Path | Sequence[str | Path]  # template files; others beside them are found as well


def escape(text: str, breaks: bool = False) -> Markup:
    """`text` as TeX that prints it and does nothing else.

    Control characters are dropped, white space becomes a space, and a character that pdflatex has no
    glyph for is replaced by its plain form or by its code point ("[U+4E2D]"). `breaks` lets a line end
    after punctuation and inside long runs (paths, checksums).
    """
    pieces: list[str] = []
    run = 0
    previous = ""
    for character in unicodedata.normalize("NFC", text):
        if character in LIGATURES and character == previous:
            pieces.append("{}")
        pieces.append(_escaped(character))
        run = 0 if character.isspace() or character in BREAKABLE else run + 1
        if breaks and (character in BREAKABLE or run == 16):
            pieces.append(r"\allowbreak{}")
            run = 0
        previous = character
    return Markup("".join(pieces))


def captions(templates: Templates) -> dict[str, dict[str, Markup]]:
    """captions.yaml beside the templates: TeX of ours, by section and name."""
    found = read_mapping(Path(_folders(templates)[0], "captions.yaml"), "captions")
    return {
        section: {name: Markup(text.rstrip()) for name, text in texts.items()}
        for section, texts in found.items()
    }


def render(templates: Templates, name: str, values: Mapping[str, Any]) -> str:
    """The template called `name`, which may import the others beside it, filled with `values`.

    Raises InputError, naming the template, for an undefined name, a cell that is None or not finite,
    and an error in the template itself.
    """
    folders = _folders(templates)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((=",
        comment_end_string="=))",
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        autoescape=True,  # keeps track of what is Markup; the escaping itself is done by finalize
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = lambda text: text if isinstance(text, Markup) else escape(text, True)
    try:
        return environment.get_template(name).render(values)
    except jinja2.TemplateNotFound as error:
        raise InputError(f"template {error.name}: not found in {', '.join(folders)}") from error
    except (jinja2.TemplateError, _UnmeasuredError) as error:
        raise InputError(f"template {name}: {error}") from error


def _folders(templates: Templates) -> list[str]:
    paths = [templates] if isinstance(templates, str | Path) else templates
    return list(dict.fromkeys(str(Path(path).parent) for path in paths))


class _UnmeasuredError(Exception):
    """A value without a measurement reached a template."""


@jinja2.pass_eval_context  # asking for a context keeps jinja2 from folding constants past this function
def _finalize(_: jinja2.nodes.EvalContext, value: Any) -> Any:
    if isinstance(value, jinja2.Undefined | Markup):
        return value  # an undefined name speaks for itself
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise _UnmeasuredError(f"a cell is {value}; leave one blank by an empty string")
    return escape(str(value))


def _escaped(character: str) -> str:
    """One character as TeX, of whatever script."""
    if character in SPECIALS:
        return SPECIALS[character]
    if " " <= character <= "~" or character in KNOWN:
        return character
    if character in SYMBOLS:
        return rf"\ensuremath{{{SYMBOLS[character]}}}"
    if character.isspace():
        return " "
    if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
        return ""
    plain = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    if plain and plain.isascii():
        return "".join(SPECIALS.get(c, c) for c in plain if c.isprintable())
    return f"{{[}}U+{ord(character):04X}{{]}}"

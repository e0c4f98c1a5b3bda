"""Numbers and names to text: explicit half-up rounding, TeX escaping, and templates that can skip neither.

Every expression in a template passes through `finalize`, which escapes it and refuses what was not
measured. What is TeX already says so by being Markup (a macro's result is).
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from reedit.errors import InputError

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
}
# Latin letters and punctuation that T1 and utf8 know; the exceptions have no glyph there
LATIN = {chr(code) for code in range(0xA1, 0x17F)} - set("\u00adĦħĸĿŀŉŦŧ")
KNOWN = LATIN | set("–—‘’“”…•†‡→€ȘșȚț")
LIGATURES = set("-,'")  # doubled, T1 would join them
BREAKABLE = set("/_-.:=@")


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


def half_up(value: float, decimals: int) -> str:
    """A finite number rounded half up, from its shortest decimal form (0.285 counts as 0.285)."""
    return str(_decimal(value).quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP))


def percent(fraction: float | None, decimals: int = 2, sign: str = "%") -> str:
    """A fraction in percent: 0.79 -> "79.00%"; empty for None."""
    if fraction is None:
        return ""
    if not math.isfinite(fraction):
        return "NaN"
    return half_up(_decimal(fraction) * 100, decimals) + sign


def perplexity(value: float | None) -> str:
    """Two decimals below a million, then the paper's 7.15E+06; "inf", "NaN"; empty for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf"
    plain = half_up(value, 2) if abs(value) < 1e7 else ""
    if plain and abs(Decimal(plain)) < 10**6:
        return plain
    number = _decimal(value)
    exponent = number.adjusted()
    mantissa = half_up(number.scaleb(-exponent), 2)
    if abs(Decimal(mantissa)) >= 10:  # 9.996 rounds to 10.00
        exponent += 1
        mantissa = half_up(number.scaleb(-exponent), 2)
    return f"{mantissa}E{exponent:+03d}"


def k_text(k_min: int, k: int) -> str:
    """The k of a line's trials: "7", or "5-7" where they stand at different ones."""
    return str(k) if k_min == k else f"{k_min}-{k}"


def render(templates: str | Path | Sequence[str | Path], name: str, values: Mapping[str, Any]) -> str:
    """The template called `name`, which may import the others beside it, filled with `values`.

    Raises InputError, naming the template, for an undefined name, a cell that is None or not finite,
    and an error in the template itself.
    """
    paths = [templates] if isinstance(templates, str | Path) else templates
    folders = dict.fromkeys(str(Path(path).parent) for path in paths)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(list(folders)),
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
    environment.filters["breakable"] = lambda text: escape(text, breaks=True)
    try:
        return environment.get_template(name).render(values)
    except jinja2.TemplateNotFound as error:
        raise InputError(f"template {error.name}: not found in {', '.join(folders)}") from error
    except (jinja2.TemplateError, _UnmeasuredError) as error:
        raise InputError(f"template {name}: {error}") from error


class _UnmeasuredError(Exception):
    """A value without a measurement reached a template."""


@jinja2.pass_eval_context  # asking for a context keeps jinja2 from folding constants past this function
def _finalize(_: jinja2.nodes.EvalContext, value: Any) -> Any:
    if isinstance(value, jinja2.Undefined | Markup):
        return value  # an undefined name speaks for itself
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise _UnmeasuredError(f"a cell is {value}; leave one blank by an empty string")
    return escape(str(value))


def _decimal(value: float | Decimal) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(repr(float(value)))


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

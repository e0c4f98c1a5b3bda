"""What comes in: text that means something to TeX, HTML, a shell or Python, odd JSON, spoiled documents."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

from reedit.errors import InputError

CHARACTERS = (
    "\\{}%$#&_^~<>|\"'`[]*;()-=!?@/,.:+ \t\n\r\x00\x1b\x7f\u200b\u202e\u2028\ufeff\ud800\u0301é東שم😀ﬁ"
)
PIECES = [
    *("", " ", "{}", "{{}}", "{0}", "%s", "\\", "^^5c", "\\\\", "{" * 9, "}" * 9, "--", "''", "[2pt]", "*"),
    *(
        "\\input{/etc/passwd}",
        "\\write18{touch x}",
        "\\csname end\\endcsname",
        "\\end{document}",
        "\\undefined",
    ),
    *("<script>alert(1)</script>", "</script>", "<img src=x onerror=alert(1)>", "&lt;", "]]>", "<!--"),
    *("$(touch x)", "`touch x`", "; touch x", "'; touch x; '", "| touch x", "../../x", "/etc/passwd", "~"),
    *("שלום", "مرحبا", "東京", "e\u0301", "\u202eabc", "😀", "Łódź", "\ufeff", "ﬁ", "\u00a0", "\x00"),
    *("<|endoftext|>", "<s>", "<unk>", "▁", "nan", "1e999", "=1+1", "2020-13-45", "x" * 3000),
    *("Kyoto", "Japan", "Italy", " Kyoto", "Kyoto Kyoto", "{} is a city in the country of"),
]
TEXT = st.one_of(
    st.sampled_from(PIECES),
    st.text(CHARACTERS, max_size=12),
    st.text(max_size=12),
    st.lists(st.sampled_from(PIECES), max_size=3).map("".join),
)
UNICODE = TEXT.map(lambda text: text.encode(errors="replace").decode())  # without halves of a character
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**63, 10**400, 2.0, -0.0, float("nan"), float("inf"), 1e308, 1e-320]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def share(part: int) -> settings:
    """Of the profile's number of examples one in `part`, for what takes long."""
    profile = settings.get_profile(settings.get_current_profile_name())
    phases = [phase for phase in Phase if phase not in (Phase.shrink, Phase.explain)]
    return settings(max_examples=max(2, profile.max_examples // part), phases=phases)


def places(document: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths to all that is inside a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items if isinstance(document, dict | list) else ():
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@st.composite
def spoiled(
    draw: Callable, document: Any, values: st.SearchStrategy = JSON, keys: st.SearchStrategy = TEXT
) -> Any:
    """A copy of a document in which up to three things are replaced, missing, added or there twice."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            break
        *parents, last = draw(st.sampled_from(found))
        place = document
        for key in parents:
            place = place[key]
        match draw(st.sampled_from(["replace", "replace", "replace", "drop", "add", "repeat"])):
            case "replace":
                place[last] = draw(values)
            case "drop":
                del place[last]
            case "add" if isinstance(place, dict):
                place[draw(keys)] = draw(values)
            case "add":
                place.insert(last, draw(values))
            case "repeat" if isinstance(place, list):
                place.append(copy.deepcopy(place[last]))
    return document


@st.composite
def damaged(draw: Callable, whole: bytes) -> bytes:
    """A file's bytes cut short, or with some of them changed, missing or added."""
    content = bytearray(whole)
    if draw(st.booleans()):
        return bytes(content[: draw(st.integers(0, len(content)))])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        until = at + draw(st.sampled_from([0, 1, 1, 1, 4, 64]))
        content[at:until] = draw(st.binary(max_size=8))
    return bytes(content)


class Refused(Exception):
    """A bad input was refused as it should be."""


@contextmanager
def one_line_if_refused() -> Iterator[None]:
    """What the block raises is InputError with one printable line, and becomes Refused; or nothing at all."""
    try:
        yield
    except InputError as error:
        message = str(error)
        assert message.isprintable() and message.strip() and len(message) < 1500, message
        raise Refused from error


@contextmanager
def file_of(content: str | bytes, name: str = "input") -> Iterator[Path]:
    """A file with this content, gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        yield path

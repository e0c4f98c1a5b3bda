"""Documents for the second moments: a text file of one document a line, or a Wikipedia dump."""

import bz2
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import mwparserfromhell

from reedit.errors import InputError

QUOTES = re.compile("'{2,}")  # bold and italics; the parser's own way with them is slow and may fail
WIKITEXT_PER_TOKEN = 12  # characters of wikitext that surely hold one token of plain text


def documents(path: Path, form: str, samples: int, max_tokens: int) -> list[str]:
    """The first `samples` non-empty documents of a corpus, in its order, as plain text.

    `form` is lines or wikipedia-dump. A document may be cut, but not below `max_tokens` tokens.
    """
    readers = {"lines": _lines, "wikipedia-dump": lambda file: _articles(file, max_tokens)}
    try:
        found = list(itertools.islice(readers[form](path), samples))
    except (UnicodeDecodeError, OSError, EOFError, ElementTree.ParseError) as error:
        raise InputError(f"{path}: not readable as {form} ({error})") from error
    if not found:
        raise InputError(f"{path}: no document, expected at least one ({form})")
    return found


def _lines(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8") as lines:
        yield from (line.rstrip("\r\n") for line in lines if line.strip())


def _articles(path: Path, max_tokens: int) -> Iterator[str]:
    """Plain text of the articles of a bzip2 dump; redirects and other namespaces are passed over."""
    with bz2.open(path) as dump:
        for _, page in ElementTree.iterparse(dump):
            if page.tag.rpartition("}")[2] != "page":
                continue
            namespace = page.find("{*}ns")
            text = page.findtext("{*}revision/{*}text") or ""
            if page.find("{*}redirect") is None and (namespace is None or namespace.text == "0"):
                cut = text[: 4000 + WIKITEXT_PER_TOKEN * max_tokens]  # infoboxes come first
                plain = mwparserfromhell.parse(cut, skip_style_tags=True).strip_code()
                plain = QUOTES.sub("", plain).strip()
                if plain:
                    yield plain
            page.clear()

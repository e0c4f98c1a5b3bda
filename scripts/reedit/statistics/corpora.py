"""Documents for the second moments, read one by one: lines of a file, a Wikipedia dump, or Parquet shards."""

import bz2
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict
from xml.etree import ElementTree

import mwparserfromhell
import pyarrow as pa
import pyarrow.parquet as pq

from reedit.errors import InputError
from reedit.storage.files import payload, visible_tree

QUOTES = re.compile("'{2,}")  # bold and italics; the parser's own way with them is slow and may fail
CHARACTERS_PER_TOKEN = 12  # characters of text or wikitext that surely hold one token
TEXT = "text"  # the column of Parquet shards that holds the documents


class Corpus(TypedDict):
    """How a corpus is read (a definition of the configuration's `corpora`)."""

    format: str
    samples: int
    max_tokens: int


def tokens_of(asked: int | str | None, keys: int) -> int | None:
    """How many tokens a corpus' `tokens` are: a number, or a multiple of the `keys`' width as 10x."""
    return keys * int(asked.removesuffix("x")) if isinstance(asked, str) else asked


class Documents:
    """The first `samples` non-empty documents of a corpus, in its order, as plain text.

    `form` is lines or wikipedia-dump, `path` then a file, or hub, `path` then the fetched folder. A document
    may be cut, but not below `max_tokens` tokens. Iterating reads them anew, one by one, and counts them in
    `taken`; it raises InputError where the corpus is not readable, empty or, on the hub, of other size.
    """

    def __init__(self, path: Path, form: str, samples: int, max_tokens: int) -> None:
        self.path, self.form, self.samples, self.max_tokens = path, form, samples, max_tokens
        self.taken = 0

    def __length_hint__(self) -> int:
        return self.samples  # at most

    def __iter__(self) -> Iterator[str]:
        readers = {
            "lines": lambda: _lines(self.path),
            "wikipedia-dump": lambda: _articles(self.path, self.max_tokens),
            "hub": lambda: _shards(self.path, self.samples, self.max_tokens),
        }
        self.taken = 0
        try:
            for text in itertools.islice(readers[self.form](), self.samples):
                self.taken += 1
                yield text
        except (UnicodeDecodeError, OSError, EOFError, ElementTree.ParseError, pa.ArrowException) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{self.path}: not readable as {self.form} ({reason})") from error
        if not self.taken:
            raise InputError(f"{self.path}: no document, expected at least one ({self.form})")


def fetched_documents(folder: Path, corpus: Corpus) -> Documents:
    """The documents of a fetched source."""
    place = folder if corpus["format"] == "hub" else payload(folder)
    return Documents(place, corpus["format"], corpus["samples"], corpus["max_tokens"])


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
                cut = text[: 4000 + CHARACTERS_PER_TOKEN * max_tokens]  # infoboxes come first
                plain = mwparserfromhell.parse(cut, skip_style_tags=True).strip_code()
                plain = QUOTES.sub("", plain).strip()
                if plain:
                    yield plain
            page.clear()


def _shards(folder: Path, samples: int, max_tokens: int) -> Iterator[str]:
    """The column `text` of Parquet files, by path, a row group at a time.

    Shards that hold less than half of what was asked for are the wrong ones, or too few: that is an error.
    """
    shards = [path for path in visible_tree(folder) if path.suffix == ".parquet"]
    if not shards:
        raise InputError(f"{folder}: no *.parquet, expected the shards of a dataset")
    rows = 0
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            kind = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True)).get(TEXT)
            if kind is None or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                names = ", ".join(file.schema_arrow.names)
                raise InputError(f"{shard}: no column {TEXT!r} of strings, found {names}")
            rows += file.metadata.num_rows
    if 2 * rows < samples:
        raise InputError(f"{folder}: {rows} documents in {len(shards)} shards, fewer than half of {samples}")
    for shard in shards:
        with pq.ParquetFile(shard) as file:
            for batch in file.iter_batches(batch_size=1000, columns=[TEXT]):
                for text in batch.column(0).to_pylist():
                    if text and text.strip():
                        yield text[: CHARACTERS_PER_TOKEN * max_tokens]

"""Documents of every corpus format."""

import bz2
from collections.abc import Sequence
from operator import length_hint
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reedit.errors import InputError
from reedit.statistics.corpora import Documents, fetched_documents

PAGE = "<page><ns>{ns}</ns>{redirect}<revision><text>{text}</text></revision></page>"
NAMESPACE = "http://www.mediawiki.org/xml/export-0.3/"


def dump(folder: Path, *pages: str) -> Path:
    path = folder / "dump.bz2"
    path.write_bytes(bz2.compress(f'<mediawiki xmlns="{NAMESPACE}">{"".join(pages)}</mediawiki>'.encode()))
    return path


def page(text: str, ns: int = 0, redirect: str = "") -> str:
    return PAGE.format(text=text, ns=ns, redirect=redirect)


def test_lines_are_the_first_non_empty_ones_in_order(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes("first\n\n  \nsécond \r\nthird\nfourth".encode())
    assert list(Documents(path, "lines", 3, 10)) == ["first", "sécond ", "third"]
    assert list(Documents(path, "lines", 100, 10))[-1] == "fourth"


def test_articles_are_plain_text_without_redirects_and_other_namespaces(tmp_path: Path) -> None:
    path = dump(
        tmp_path,
        page("A [[link|word]] {{template}} here."),
        page("talk", ns=1),
        page("moved", redirect="<redirect/>"),
        page("{{only a template}}"),
        page("Second."),
    )
    assert list(Documents(path, "wikipedia-dump", 10, 50)) == ["A word  here.", "Second."]
    assert list(Documents(path, "wikipedia-dump", 1, 50)) == ["A word  here."]


def test_a_long_article_is_cut_but_keeps_enough(tmp_path: Path) -> None:
    (text,) = Documents(dump(tmp_path, page("word " * 5000)), "wikipedia-dump", 1, 100)
    assert 100 <= len(text.split()) < 5000


@pytest.mark.parametrize("form", ["lines", "wikipedia-dump"])
def test_an_empty_corpus_is_an_error(form: str, tmp_path: Path) -> None:
    path = dump(tmp_path) if form == "wikipedia-dump" else tmp_path / "lines.txt"
    if form == "lines":
        path.write_text("\n \n")
    with pytest.raises(InputError, match="no document"):
        list(Documents(path, form, 5, 5))


@pytest.mark.parametrize("form", ["lines", "wikipedia-dump"])
@pytest.mark.parametrize("content", [b"\xff\xfe\xfa", bz2.compress(b"<a><b>"), bz2.compress(b"x" * 99)[:20]])
def test_an_unreadable_corpus_is_an_error_that_names_it(form: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "corpus"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"corpus: not readable as {form}"):
        list(Documents(path, form, 5, 5))


def shard(path: Path, texts: Sequence[str | None], column: str = "text") -> Path:
    """A Parquet file as the hub's data sets have them, in row groups of two; its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = pa.array(range(len(texts)))
    pq.write_table(pa.table({"id": ids, column: pa.array(texts, pa.string())}), path, row_group_size=2)
    return path.parent


def test_shards_are_read_by_path_and_their_empty_texts_passed_over(tmp_path: Path) -> None:
    shard(tmp_path / "en/train-1.parquet", ["fourth", "fifth"])
    shard(tmp_path / "en/train-0.parquet", ["first", "", None, " \n", "second", "third"])
    (tmp_path / "en/README.md").write_text("not a shard")
    assert list(Documents(tmp_path, "hub", 4, 9)) == ["first", "second", "third", "fourth"]
    assert list(Documents(tmp_path, "hub", 10, 9))[-1] == "fifth"


def test_a_text_of_a_shard_is_cut_but_keeps_enough(tmp_path: Path) -> None:
    (text,) = Documents(shard(tmp_path / "a.parquet", ["word " * 5000]), "hub", 1, 100)
    assert 100 <= len(text.split()) < 1000


def test_shards_are_read_only_as_far_as_they_are_needed(tmp_path: Path) -> None:
    shard(tmp_path / "0.parquet", ["first", "second"])
    shard(tmp_path / "1.parquet", ["third"])
    content = (tmp_path / "1.parquet").read_bytes()
    footer = int.from_bytes(content[-8:-4], "little") + 8
    (tmp_path / "1.parquet").write_bytes(bytes(len(content) - footer) + content[-footer:])  # no data left
    assert list(Documents(tmp_path, "hub", 2, 9)) == ["first", "second"]
    with pytest.raises(InputError, match="not readable as hub"):
        list(Documents(tmp_path, "hub", 3, 9))


def test_shards_of_less_than_half_of_the_samples_are_refused_with_their_number(tmp_path: Path) -> None:
    shard(tmp_path / "0.parquet", ["a", "b", "c"])
    assert len(list(Documents(tmp_path, "hub", 6, 9))) == 3, "samples is an upper bound"
    with pytest.raises(InputError, match="3 documents in 1 shards, fewer than half of 7"):
        list(Documents(tmp_path, "hub", 7, 9))


def test_a_folder_without_shards_or_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \*\.parquet, expected the shards"):
        list(Documents(tmp_path, "hub", 1, 9))
    shard(tmp_path / "0.parquet", ["a"], column="article")
    with pytest.raises(InputError, match=r"0\.parquet: no column 'text' of strings, found id, article"):
        list(Documents(tmp_path, "hub", 1, 9))
    (tmp_path / "0.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="not readable as hub"):
        list(Documents(tmp_path, "hub", 1, 9))


def test_documents_count_what_was_taken_and_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a\nb\nc\n")
    found = fetched_documents(tmp_path, {"format": "lines", "samples": 5, "max_tokens": 9})
    assert length_hint(found) == 5 and list(found) == list(found) == ["a", "b", "c"] and found.taken == 3
    assert fetched_documents(tmp_path, {"format": "hub", "samples": 5, "max_tokens": 9}).path == tmp_path

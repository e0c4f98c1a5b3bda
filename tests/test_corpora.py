"""Documents of both corpus formats."""

import bz2
from pathlib import Path

import pytest

from reedit.corpora import Documents
from reedit.errors import InputError

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

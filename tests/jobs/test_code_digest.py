"""The content hash that reruns a rule when its code changes, and only then."""

from pathlib import Path

import pytest
from configurations import REPOSITORY

from reedit.jobs.code_digest import Code

SCRIPT = '"""A script."""\nfrom reedit.near import work\n\nwork()\n'
FILES = {
    "script.py": SCRIPT,
    "reedit/__init__.py": "",
    "reedit/near.py": (
        '"""Near."""\nfrom reedit import far\nfrom reedit.part import deep\n\n\n'
        'def work():\n    """Work."""\n    return far.value()\n'
    ),
    "reedit/far.py": "import json\n\n\ndef value():\n    import reedit.inner\n    return 1\n",
    "reedit/inner.py": "X = 1\n",
    "reedit/part/deep.py": "D = 1\n",
    "reedit/unrelated.py": "Y = 1\n",
    "json.py": "Z = 1\n",
}


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "reedit/part").mkdir(parents=True)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("script.py", SCRIPT.replace("A script", "Another docstring")),
        ("script.py", f"# a comment\n{SCRIPT}\n\n"),
        ("reedit/near.py", FILES["reedit/near.py"].replace('    """Work."""\n', "    # works\n")),
        ("reedit/far.py", FILES["reedit/far.py"].replace("    return 1", "\n    return 1  # one")),
        ("reedit/unrelated.py", "Y = 2\n"),
        ("json.py", "Z = 2\n"),
    ],
)
def test_comments_docstrings_layout_and_other_modules_do_not_count(house: Path, file: str, text: str) -> None:
    before = Code().digest(house / "script.py")
    (house / file).write_text(text)
    assert Code().digest(house / "script.py") == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "work()", "work(1)"),
        ("reedit/near.py", "far.value()", "far.value() + 1"),
        ("reedit/far.py", "return 1", "return 2"),
        ("reedit/inner.py", "X = 1", "X = 2"),
        ("reedit/part/deep.py", "D = 1", "D = 2"),
        ("reedit/inner.py", "X = 1", 'X = "text, not a docstring"'),
    ],
)
def test_code_counts_wherever_it_is_imported(house: Path, file: str, old: str, new: str) -> None:
    before = Code().digest(house / "script.py")
    (house / file).write_text(FILES[file].replace(old, new))
    assert Code().digest(house / "script.py") != before


def test_the_place_of_the_house_does_not_count(house: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "reedit/part").mkdir(parents=True)
    for name, text in FILES.items():
        (other / name).write_text(text)
    assert Code().digest(other / "script.py") == Code().digest(house / "script.py")


def test_modules_that_import_each_other_end(house: Path) -> None:
    (house / "reedit" / "inner.py").write_text("from reedit import near\n")
    assert len(Code().digest(house / "script.py")) == 16


def test_every_script_of_the_workflow_has_a_digest_of_its_own() -> None:
    code, scripts = Code(), sorted((REPOSITORY / "scripts").glob("*.py"))
    digests = {path.stem: code.digest(path) for path in scripts}
    assert len(set(digests.values())) == len(scripts)
    alone = Code().digest(REPOSITORY / "scripts/edit_facts.py")
    assert digests["edit_facts"] == alone  # whatever was read before


def test_modules_import_each_other_by_their_full_names() -> None:
    """A relative import would go unnoticed by the digest."""
    for path in (REPOSITORY / "scripts").rglob("*.py"):
        assert "from ." not in path.read_text(encoding="utf-8"), path

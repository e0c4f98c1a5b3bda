"""The pages say what is there: outputs and columns, links and files; and what stands beside the code."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from configurations import REPOSITORY
from snakemake.io import regex_from_filepattern
from workflow import Outcome

from reedit.methods.hyperparameters import READERS, kinds
from reedit.storage.schemas import SCHEMAS

OUTPUTS = (REPOSITORY / "docs/outputs.md").read_text(encoding="utf-8")
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
RUN = "{model}/{dataset}/{method}/trial{trial}"
WILDCARDS = {  # of the page's paths and the rules': a value of each, and what it may be
    "source": ("smollm2", r"[^/]+"),
    "model": ("smollm2-135m", r"[^/]+"),
    "dataset": ("worldfacts", r"[^/]+"),
    "sample": ("any", r"[^/]+"),
    "owner": ("smollm2-135m/memit", r".+"),
    "corpus": ("wikipedia-sample", r"[^/]+"),
    "method": ("memit", r"[^/]+"),
    "trial": ("1", r"\d+"),
    "evaluated": ("smollm2-135m/unedited", r".+"),
    "n": ("1", r"\d*"),
    "summary": ("norms", r"\w+"),
    "algorithm": ("memit", r"\w+"),
    "table": ("norms", r"differences|norms|portability|generation|differences_generated|fluency|along"),
    "figure": ("scores", r"\w+"),
}
OTHERS = {"reports/report.zip"}  # made by `make`, not by a rule
TOPS = "scripts|tests|docs|rules|benchmarks|experiments|resources|envs|profiles|workflow|config|reports"
ENDINGS = "py|md|smk|sh|ya?ml|json|csv|png|cff|toml"
NAMED = re.compile(rf"(?<![\w./{{}}-])((?:[\w.-]+/)*[\w-][\w.-]*\.(?:{ENDINGS}))\b")
THEIRS = re.compile(  # files of a user's own, of others' repositories, and those that runs make
    r"scripts/reedit/report/tables/costs\.py|experiments/(mine|NAME|counterfact-small)\.yaml|mine\.yaml|path/to/.*|my-.*|edited/.*|facts\.json|"
    r"(rehearsal|results|compared)/.*|reports/gpu/.*|report\.(md|json)|config\.json|tokenizer(_config)?\.json|"
    r"memit\.\w+|revision\.json|.*gpt2-xl\.yaml|[\w-]+\.csv"
)


def page_paths() -> list[str]:
    """The paths of the page's table of files, their endings written out."""
    (section,) = re.findall(r"^## Files\n(.*?)^## ", OUTPUTS, re.MULTILINE | re.DOTALL)
    found = []
    for cell in re.findall(r"^\| (`re.*?) \|", section, re.MULTILINE):
        first, *endings = re.findall(r"`([^`]+)`", cell)
        found += [first.rstrip("/"), *(str(Path(first).with_suffix(ending)) for ending in endings)]
    return found


def filled(path: str) -> str:
    """A path of the page or of a rule with a value in place of each wildcard."""
    plain = re.sub(r"\{(\w+)(,[^{}]*(\{[^{}]*\})?[^{}]*)?\}", r"{\1}", path)
    unknown = set(re.findall(r"\{(\w+)\}", plain)) - {*WILDCARDS, "run"}
    assert not unknown, f"{path}: WILDCARDS lacks {unknown}"
    return plain.replace("{run}", RUN).format(**{name: value for name, (value, _) in WILDCARDS.items()})


def pattern(path: str) -> re.Pattern:
    """What a path of the page stands for."""
    parts = re.split(r"\{(\w+)\}", path.replace("{run}", RUN))
    wanted = (f"({WILDCARDS[part][1]})" if i % 2 else re.escape(part) for i, part in enumerate(parts))
    return re.compile("".join(wanted))


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.replace("`", "").lower()).replace(" ", "-")


def prose(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def snakemake(snakefile: Path, folder: Path, *arguments: str) -> Outcome:
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--nocolor", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    return Outcome(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def rule_outputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the rules declare under results/ and reports/, and all tables and figures that there may be."""
    folder = tmp_path_factory.mktemp("rules")
    told = """
from reedit.report.contents import FIGURES as EVERY_FIGURE
tables = [f"results/tables/{name}.{ending}" for name in catalog.TABLES for ending in ("tex", "csv", "md")]
figures = [f"results/figures/{name}.{ending}" for name in EVERY_FIGURE for ending in ("pdf", "png")]
for one in [*(path for rule in workflow.rules for path in rule.output), *tables, *figures]:
    print("OUTPUT", one)
"""
    (folder / "told.smk").write_text(f'include: "{REPOSITORY / "Snakefile"}"\n{told}')
    outcome = snakemake(folder / "told.smk", folder, "--list-rules")
    assert outcome.status == 0, outcome.output
    return re.findall(r"^OUTPUT (re.*)$", outcome.output, re.MULTILINE)


def test_every_column_is_described_and_none_that_there_is_not() -> None:
    (section,) = re.findall(r"^## Columns\n(.*?)^## ", OUTPUTS, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^### (\w+)\n", section, flags=re.MULTILINE)[1:]
    described = {
        name: re.findall(r"^\| `(\w+)` \| \S", text, re.MULTILINE)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
    assert described == {name: schema.names for name, schema in SCHEMAS.items()}
    for inner in SCHEMAS["facts"].field("neighbors").type.value_type:
        assert f"`{inner.name}`" in parts[parts.index("facts") + 1]


def test_every_output_of_the_rules_is_on_the_page(rule_outputs: list[str]) -> None:
    known = [pattern(path) for path in page_paths()]
    made = [filled(path) for path in rule_outputs if "(?!)" not in path]
    assert [path for path in made if not any(one.fullmatch(path) for one in known)] == []
    figures = {Path(path).stem for path in made if path.startswith("results/figures/")}
    assert {"norms", "scores", "underedit", "along"} <= figures
    assert [name for name in figures if f"`{name}`" not in OUTPUTS] == []


def test_every_file_of_the_page_is_made_by_a_rule(rule_outputs: list[str]) -> None:
    patterns = [re.compile(regex_from_filepattern(path)) for path in rule_outputs]
    paths = set(page_paths()) - OTHERS
    assert len(paths) > 40
    assert [path for path in paths if not any(one.match(filled(path)) for one in patterns)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_between_pages_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", prose(page), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        place, _, anchor = target.partition("#")
        linked = (page.parent / place).resolve() if place else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(linked), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {target}"


def named_files(page: Path) -> Iterator[str]:
    """Files that a page names in its text: by their whole path, or by the end of it."""
    for name in NAMED.findall(re.sub(r"\w+://\S+", "", prose(page))):
        if not THEIRS.fullmatch(name):
            yield name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_files_that_a_page_names_are_there(page: Path) -> None:
    folders = [REPOSITORY / top for top in TOPS.split("|")]
    there = [f"/{path.relative_to(REPOSITORY)}" for folder in folders for path in folder.rglob("*.*")]
    there += [f"/{path.name}" for path in REPOSITORY.iterdir()]
    missing = {
        name
        for name in named_files(page)
        if not any(path.endswith(f"/{name.removeprefix('../')}") for path in there)
    }
    assert not missing


def test_every_hyperparameter_is_explained() -> None:
    page = (REPOSITORY / "docs/configuration.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## hyperparameters\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    keys = "".join(re.findall(r"^\| (`[^|]*)\|", section, re.MULTILINE))
    told = set(re.findall(r"`(\w+)`", keys))
    assert told == {key for reader in READERS.values() for key in kinds(reader)}


def test_every_page_stands_in_the_index() -> None:
    index = prose(REPOSITORY / "docs/README.md")
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {page.name for page in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}


def test_the_catalogue_finds_the_workflow_and_it_runs_from_any_folder(tmp_path: Path) -> None:
    usage = yaml.safe_load((REPOSITORY / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True and usage["software-stack-deployment"].keys() == {"conda"}
    outcome = snakemake(REPOSITORY / "workflow/Snakefile", tmp_path, "--dry-run", "--cores", "1")
    assert outcome.status == 0, outcome.output
    assert {"edit_facts", "score_edits", "compile_pdf", "all"} <= outcome.jobs.keys()


def test_hosted_ci_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step for step in steps if step.split()[:1] == [".ci/run"]]


def test_the_hooks_before_a_commit_are_those_of_the_environment() -> None:
    (repo,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert repo["repo"] == "local"
    assert [hook["entry"].split()[0] for hook in repo["hooks"]] == [
        ".venv/bin/ruff",
        ".venv/bin/ruff",
        ".venv/bin/snakefmt",
    ]


def test_the_version_is_the_same_wherever_it_stands() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    version, date = re.findall(r"^## (\S+), (.+)$", changelog, re.MULTILINE)[0]
    assert project["version"] == citation["version"] == version
    assert str(citation["date-released"]) == date


def test_the_citation_names_the_published_paper() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= citation.keys()
    paper = citation["preferred-citation"]
    assert paper["type"] == "conference-paper" and paper["doi"] == "10.18653/v1/2025.findings-emnlp.798"
    assert [author["family-names"] for author in paper["authors"]] == ["Baghel", "Jordan", "Shi", "Li"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_diagram_has_a_line_for_each_of_its_parts(page: Path) -> None:
    """Joined into one line, as text is when it is wrapped anew, it cannot be drawn."""
    for diagram in re.findall(r"```mermaid\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        first, *edges = diagram.splitlines()
        assert re.fullmatch(r"flowchart \w\w", first) and edges
        assert all(re.fullmatch(r"\s*\w+( --> \w+)+", edge) for edge in edges)

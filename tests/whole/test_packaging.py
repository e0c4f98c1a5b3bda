"""pip, uv and conda install the same project: versions agree, and every rule names a fitting environment."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from configurations import REPOSITORY
from imports import LIBRARY, library_files_of, modules_imported, modules_imported_by, syntax
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from reedit.storage.provenance import PACKAGES

ROOT = REPOSITORY
WORKFLOW = [path for path in (ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))) if path.exists()]
CONDA_ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))

# Where conda-forge's name differs from PyPI's, and what is no Python package of ours.
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
CONDA_ONLY = {"python", "tectonic"}
# Modules that do not carry the name of the package they come in.
PACKAGE_OF_MODULE = {"yaml": "pyyaml", "sklearn": "scikit-learn"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(requirements: list[str]) -> dict[str, str]:
    """Package name to version; every requirement has to be an exact pin."""
    found = {}
    for requirement in requirements:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)", requirement.strip())
        assert match, f"{requirement!r} is not an exact pin"
        found[canonical(match[1])] = match[2]
    return found


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def direct_dependencies() -> dict[str, SpecifierSet]:
    """Package name to the versions allowed: one alone, or a range with both its ends."""
    extras = project()["optional-dependencies"].values()
    found = {}
    for line in project()["dependencies"] + [line for extra in extras for line in extra]:
        requirement = Requirement(line)
        ends = sorted(part.operator for part in requirement.specifier)
        assert ends in (["=="], ["<=", ">="]) and "*" not in line, f"{line!r} is no pin and no closed range"
        found[canonical(requirement.name)] = requirement.specifier
    return found


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def conda_pins(path: Path) -> dict[str, str]:
    found = {}
    for dependency in yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]:
        if isinstance(dependency, dict):
            found |= pins(dependency["pip"])
        else:
            name, version = dependency.split("=")
            found[canonical(CONDA_NAMES.get(name, name))] = version
    return found


def rules_with_scripts() -> list[tuple[Path, str, str]]:
    """(file, rule, body) of every rule that runs a script."""
    found = []
    for path in WORKFLOW:
        parts = re.split(r"^\s*(?:rule|checkpoint) +(\w+) *:", path.read_text(encoding="utf-8"), flags=re.M)
        found += [(path, name, body) for name, body in zip(parts[1::2], parts[2::2], strict=True)]
    return [(path, name, body) for path, name, body in found if re.search(r"^\s+script:", body, flags=re.M)]


def environment_of(path: Path, rule: str, body: str) -> Path:
    conda = re.search(r"^\s+conda:\s*[\"']([^\"']+)[\"']", body, flags=re.M)
    assert conda, f"{path.name}: rule {rule} has a script but no conda environment"
    environment = (path.parent / conda[1]).resolve()
    assert environment in CONDA_ENVIRONMENTS, f"{path.name}: rule {rule}: no {conda[1]}"
    return environment


def packages_imported(path: Path) -> set[str]:
    """Canonical names of the packages from outside that a file imports, the standard library apart."""
    top = {module.partition(".")[0] for module in modules_imported(path)}
    ours = {"reedit", *sys.stdlib_module_names}
    return {canonical(PACKAGE_OF_MODULE.get(module, module)) for module in top - ours}


def test_constraints_pin_every_direct_dependency_to_a_version_that_the_project_allows():
    constraints = pins(constraint_lines())
    for name, allowed in direct_dependencies().items():
        assert name in constraints, f"constraints.txt lacks {name}"
        assert constraints[name] in allowed, f"constraints.txt has {name} {constraints[name]}, not {allowed}"


def test_constraints_hold_for_any_index():
    for line in constraint_lines():
        assert "://" not in line and "+" not in line, line


@pytest.mark.parametrize("path", CONDA_ENVIRONMENTS, ids=lambda path: path.name)
def test_conda_environments_repeat_the_pins(path):
    constraints = pins(constraint_lines())
    for name, version in conda_pins(path).items():
        if name not in CONDA_ONLY:
            assert constraints.get(name) == version, f"{path.name} has {name} {version}"


def test_conda_python_is_one_that_the_project_supports():
    at_least = tuple(int(part) for part in project()["requires-python"].removeprefix(">=").split("."))
    for path in CONDA_ENVIRONMENTS:
        assert tuple(int(part) for part in conda_pins(path)["python"].split(".")) >= at_least


def test_each_rule_has_an_environment_with_all_that_its_script_imports():
    for path, rule, body in rules_with_scripts():
        environment = environment_of(path, rule, body)
        script = re.search(r"^\s+script:\s*[\"']([^\"']+)[\"']", body, flags=re.M)
        assert script, f"{path.name}: rule {rule}: the script is not a plain string"
        for file in library_files_of((path.parent / script[1]).resolve()):
            missing = packages_imported(file) - set(conda_pins(environment)) - {"snakemake"}
            assert not missing, f"{environment.name} lacks {missing}, which rule {rule} needs for {file.name}"


def test_each_environment_has_the_packages_whose_versions_its_jobs_note():
    """Snakemake's own is on the path of every job that it starts."""
    noting = 0
    for path, rule, body in rules_with_scripts():
        script = re.search(r"^\s+script:\s*[\"']([^\"']+)[\"']", body, flags=re.M)
        if "reedit.storage.provenance.provenance" in modules_imported_by((path.parent / script[1]).resolve()):
            noting += 1
            missing = set(PACKAGES) - set(conda_pins(environment_of(path, rule, body))) - {"snakemake"}
            assert not missing, f"{rule}: {missing}"
    assert noting > 8


def test_every_import_of_the_scripts_is_a_direct_dependency():
    for path in (ROOT / "scripts").rglob("*.py"):
        missing = packages_imported(path) - set(direct_dependencies())
        assert not missing, f"{path.relative_to(ROOT)} imports {missing}"


def test_the_library_knows_nothing_of_snakemake():
    for path in LIBRARY.rglob("*.py"):
        assert "snakemake" not in packages_imported(path), path.name
        names = {node.id for node in syntax(path) if isinstance(node, ast.Name)}
        assert "snakemake" not in names, path.name


def test_the_page_on_the_house_names_every_stage_folder_and_rule_that_is_there():
    page = (ROOT / "docs/house.md").read_text(encoding="utf-8")
    stages = {path.stem for path in (ROOT / "rules").glob("*.smk")} - {"common"}
    assert stages == set(re.findall(r"^\| \[(\w+)\]", page, flags=re.M))
    folders = {path.parent.name for path in LIBRARY.glob("*/__init__.py")}
    assert stages <= folders and all(f"`{folder}/" in page for folder in folders)
    for module in re.findall(r"`(\w+/\w+\.py)`", page):
        assert (LIBRARY / module).is_file() or (ROOT / module).is_file(), module
    rules = {name for _, name, _ in rules_with_scripts()}
    named = set(re.findall(r"\b(?:[a-z]+_[a-z]+)\b", page))
    assert {rule for rule in rules if not rule.startswith(("summarise", "render", "compare"))} - named <= {
        "export_moments"
    }

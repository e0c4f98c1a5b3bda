"""What imports what: no folder of the library from one above it, and torch where it is worked with alone."""

import os
import subprocess
import sys
from pathlib import Path

from imports import LIBRARY, library_files_of, modules_imported, modules_imported_by

# The library's folders and the modules beside them; each imports from itself and from what stands before it.
FLOORS = (
    *("errors", "storage", "jobs", "methods", "models", "fetch", "prepare", "statistics", "edit", "evaluate"),
    *("tune", "settings", "report", "use", "watch", "rehearse", "publish", "__main__"),
)
SCRIPTS = sorted(LIBRARY.parent.glob("*.py"))
# Seconds before the first line of a job; whatever works with neither a model nor its tensors does without.
WITH_TORCH = {
    *("prepare_model", "sample_prefixes", "filter_neighbors", "trace_facts"),
    *("collect_moments", "import_moments", "decompose_moments", "export_moments"),
    *("edit_facts", "regularise_edits", "export_model", "tune_hyperparameters"),
    *("score_edits", "check_collapse", "measure_norms", "ask_groups", "generate_answers", "generate_texts"),
    *("evaluate_downstream", "verify_results", "rehearse", "publish_results"),
}


def floor_of(path: Path) -> int:
    return FLOORS.index(path.relative_to(LIBRARY).parts[0].removesuffix(".py"))


def test_no_folder_imports_from_one_above_it() -> None:
    files = sorted(LIBRARY.rglob("*.py"))
    folders = {path.relative_to(LIBRARY).parts[0].removesuffix(".py") for path in files} - {"__init__"}
    assert folders == set(FLOORS)
    for path in files:
        if path != LIBRARY / "__init__.py":
            for module in modules_imported(path):
                above = FLOORS[floor_of(path) + 1 :]
                assert not module.startswith(tuple(f"reedit.{name}" for name in above)), f"{path}: {module}"


def test_a_job_that_works_with_no_tensors_does_not_import_torch() -> None:
    """By what stands in the files, and by what a Python has loaded once it has imported all of it."""
    with_torch = {
        script.stem
        for script in SCRIPTS
        if any(module.partition(".")[0] == "torch" for module in modules_imported_by(script))
    }
    assert with_torch == WITH_TORCH
    modules = {
        ".".join(file.relative_to(LIBRARY.parent).with_suffix("").parts)
        for script in SCRIPTS
        if script.stem not in WITH_TORCH
        for file in library_files_of(script) - {script}
    }
    code = f"import sys, {', '.join(sorted(modules))}\nprint('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(LIBRARY.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"

"""Whether what lies under results/ is whole: `make verify` reads all of it again.

Sources are compared with the sha256 they were fetched with, tables with their schemas, and of tensors every
number is read. A file that was cut off or changed after it was written is named, and so is what belongs to no
result.
"""

import logging
import math
import re
import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

import torch

from reedit.errors import MENDED, InputError
from reedit.jobs.progress import progress
from reedit.report.rows.summaries import SUMMARIES
from reedit.report.tables.paper import HARDWARE
from reedit.settings.experiment import Experiment
from reedit.statistics.moments import read_moment
from reedit.storage import parquet
from reedit.storage.checksums import SUMS, changed_since_fetched
from reedit.storage.files import tree, visible_tree
from reedit.storage.tensors import shapes_in
from reedit.use.file_checks import (
    check_end,
    check_json,
    check_kept,
    check_model,
    check_not_empty,
    check_readable,
    check_tensors,
    check_zip,
    expect_file,
    finite_tensors,
)

Check = Callable[[Path], None]  # raises InputError: what was found, what was expected

MB, GB = 1e6, 1e9
SCHEMAS = {
    "facts/*.parquet": "facts",
    "generation_prompts/*.parquet": "generation_prompts",
    "groups/*.parquet": "groups",
    "neighbors/*/*.parquet": "neighbors",
    "splits/*/*/*.parquet": "split",
    "tracing/*/*.parquet": "tracing",
    "hyperparameters/*/*.parquet": "tuning",
    "prefixes/*.parquet": "prefixes",
    "prefixes/*/*.parquet": "prefixes",
    "edits/*/*/*/*/targets.parquet": "targets",
    "edits/*/*/*/*/iterations.parquet": "iterations",
    "scores/*/*/*/*.parquet": "scores",
    "collapse/*/*/*/*.parquet": "collapse",
    "generations/*/*/*/*.parquet": "generations",
    "portability/*/*/*/*.parquet": "portability",
    "texts/*/*/*/*.parquet": "texts",
    "norms/*/*/*/*.parquet": "norms",
    **{
        f"finished/{kept}/*/*.parquet": kept
        for kept in ("scores", "collapse", "generations", "portability", "texts", "norms")
    },
    "downstream/*/*/*/*.parquet": "downstream",
    "downstream/*/unedited.parquet": "downstream",
    f"summary/table{HARDWARE}.parquet": "hardware",
    "summary/table*.parquet": "table",
    "summary/runs.parquet": "runs",
    **{f"summary/{name}.parquet": summary.schema for name, summary in SUMMARIES.items()},
}
# what one job makes as a whole, by how many parts of its path; elsewhere each file by itself
PARTS = {"sources": 2, "models": 2, "moments": 3, "spectra": 3, "exports": 3}
PARTS |= dict.fromkeys(("edits", "state", "finished"), 5)
# not asked for by a rerun that has all tables
ON_DEMAND = ("sources", "models", "moments", "spectra", "exports", "tracing", "hyperparameters")
EXPORTED = "edits/*/*/*/*/model"  # nor is this one, which is not of the job that makes the others in edits
NO_RESULTS = ("logs", "benchmarks")
MARKS = (".gitkeep", ".snakemake_timestamp", SUMS)
UNFINISHED = re.compile(r"\..+\.part")  # a download that was interrupted
# of files.atomic, of mkdtemp, of a job's state, of the engine easyedit
TEMPORARY = re.compile(r"\..+\.(\w{8}(\.tmp)?)|(k|saved)\d+\.partial|statistics\w{8}")


@dataclass(frozen=True)
class Fault:
    """A file or folder that is not whole, what is wrong, and the output that has to be made anew."""

    path: Path
    reason: str
    output: Path
    on_demand: bool

    @property
    def link(self) -> Path | None:
        """Where the output, or something in it down to the file, is a link: jobs make none."""
        within = [self.path, *self.path.parents]
        return next((p for p in within if p.is_relative_to(self.output) and p.is_symlink()), None)

    def __str__(self) -> str:
        if self.link:
            return (
                f"{self.path}: {self.reason}; {self.link} is a link to {self.link.readlink()}, left as it is"
            )
        what = "it" if self.output == self.path else str(self.output)
        repair = ": it is made anew once a job needs it" if self.on_demand else " and rerun"
        return f"{self.path}: {self.reason}; delete {what}{repair}"


@dataclass
class Verification:
    """Checks what lies in `results`; once `faults` is through, the fields say what was found.

    A file that is not there is no fault, unless it is one of a folder that a job makes as a whole.
    """

    results: Path
    experiment: Experiment
    files: int = 0
    size: int = 0  # bytes
    strays: list[Path] = field(default_factory=list)  # what belongs to no result

    def faults(self) -> Iterator[Fault]:
        """Every fault as soon as it is found; progress is logged."""
        found = [path for path in tree(self.results) if self._parts(path)[0] not in NO_RESULTS]
        total = sum(path.stat().st_size for path in found if path.is_file())
        report = progress("verified, MB", math.ceil(total / MB) or 1)
        for path in found:
            if path.name not in MARKS and not any(stray in path.parents for stray in self.strays):
                yield from self._look(path)
            if path.is_file():
                self.files, self.size = self.files + 1, self.size + path.stat().st_size
                if self.size < total:
                    report(int(self.size / MB))
        report(math.ceil(total / MB) or 1)

    def faults_of(self, paths: Iterable[Path]) -> Iterator[Fault]:
        """Those of some files and folders alone."""
        for path in paths:
            yield from self._look(path)

    def _look(self, path: Path) -> Iterator[Fault]:
        """Check a file or a folder, or note it among the strays."""
        parts = self._parts(path)
        if parts[0] == "sources" and len(parts) > 1 and UNFINISHED.fullmatch(parts[1]):
            return  # the next call goes on with it
        check = next((check for pattern, check in self._checks.items() if _fits(parts, pattern)), None)
        if path.is_symlink() and not path.exists():
            check = _there
        if TEMPORARY.fullmatch(path.name):
            self.strays.append(path)
        elif check is not None:
            try:
                check(path)
            except InputError as error:
                reason = str(error).removeprefix(f"{path}: ").removesuffix(MENDED)
                count, on_demand = _output(parts)
                yield Fault(path, reason, self.results.joinpath(*parts[:count]), on_demand)
        elif path.is_file() and parts[0] != "sources":  # those are checked as a folder
            self.strays.append(path)

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.results).parts

    @cached_property
    def _checks(self) -> dict[str, Check]:
        """What is looked at, by a pattern of its path: folders as a whole, and the files in them."""
        return {
            **{pattern: _table_check(schema) for pattern, schema in SCHEMAS.items()},
            "sources/*": self._check_source,
            "models/*": check_model,
            "models/*/*.safetensors": check_tensors,
            "models/*/*.json": check_json,
            "models/*/*": check_not_empty,
            "moments/*/*": self._check_layers,
            "moments/*/*/*.safetensors": read_moment,
            "spectra/*/*/*.safetensors": check_tensors,
            "exports/*/*/*.npz": check_zip,
            "edits/*/*/*/*/weights": check_kept,
            "edits/*/*/*/*/weights/k*.safetensors": self._check_update,
            EXPORTED: check_model,
            f"{EXPORTED}/*.safetensors": check_tensors,
            f"{EXPORTED}/*.json": check_json,
            f"{EXPORTED}/*": check_not_empty,
            **{
                f"{place}/*/*/*/*/{name}": check
                for place in ("state", "finished")
                for name, check in {
                    "fingerprint": check_not_empty,
                    "k*/iteration.json": check_json,
                    "k*/*.safetensors": check_readable,  # a perplexity in it may be infinite
                }.items()
            },
            "finished/*/*/*/layers.json": check_json,
            "finished/*/*/*/*.safetensors": check_readable,
            "state/*/*/*/*/k*/*/fingerprint": check_not_empty,
            "state/*/*/*/*/k*/*/saved*/*.safetensors": check_readable,
            "state/targets/*/*.safetensors": check_readable,
            "hyperparameters/*/*.*": check_not_empty,
            "state/hyperparameters/*/*/fingerprint": check_not_empty,
            "state/hyperparameters/*/*/*.json": check_json,
            "state/hyperparameters/*/*/journal": check_not_empty,
            "state/hyperparameters/*/*/*/*.safetensors": check_readable,
            "state/moments/*/*/fingerprint": check_not_empty,
            "state/moments/*/*/saved*/sums.json": check_json,
            "state/moments/*/*/saved*/*.safetensors": check_tensors,
            "state/neighbors/*/*/fingerprint": check_not_empty,
            "state/neighbors/*/*/saved*/answers.json": check_json,
            "tables/*.tex": check_not_empty,
            "tables/*.csv": check_not_empty,
            "tables/*.md": check_not_empty,
            "figures/*.pdf": lambda path: check_end(path, b"%%EOF"),
            "figures/*.png": lambda path: check_end(path, b"IEND"),
        }

    def _check_source(self, folder: Path) -> None:
        """As it was fetched; where nobody noted how that was, at least readable."""
        source = self.experiment.config["sources"].get(folder.name, {})
        size = sum(path.stat().st_size for path in visible_tree(folder))
        if size > GB:  # or nothing would be said for a minute
            logging.getLogger("reedit").info("reading %s, %.0f GB", folder, size / GB)
        reason = changed_since_fetched(folder, source)
        if reason is not None:
            linked = source.get("kind") == "folder" and any(
                f.stat().st_nlink > 1 for f in visible_tree(folder)
            )
            first = f" (shares its files with {source['path']}: bring that back first)" if linked else ""
            raise InputError(reason + first)
        if not (folder / SUMS).exists():
            for path in visible_tree(folder):
                readable = {".safetensors": check_tensors, ".json": check_json}.get(
                    path.suffix, check_not_empty
                )
                readable(path)

    def _check_layers(self, folder: Path) -> None:
        """Moments of every layer that the experiment edits."""
        for layer in self.experiment.layers(*folder.parts[-2:]):
            expect_file(folder / f"{layer}.safetensors", "for an edited layer")

    def _check_update(self, path: Path) -> None:
        """Finite updates in fp32, each of its parameter's shape."""
        shapes = self._shapes(path.parents[4].name)
        for name, tensor in finite_tensors(path):
            expected = next((s for key, s in shapes.items() if name == key or name.endswith(f".{key}")), None)
            if expected not in (None, list(tensor.shape)):
                raise InputError(f"{name} is of shape {list(tensor.shape)}, expected {expected}")
            if tensor.dtype != torch.float32:
                raise InputError(f"{name} is {tensor.dtype}, expected torch.float32")

    def _shapes(self, model: str) -> dict[str, list[int]]:
        """The shape of every tensor of a model; none where it is not there or cannot be read."""
        if model not in self._models:
            self._models[model] = {}
            for path in sorted((self.results / "models" / model).glob("*.safetensors")):
                try:
                    self._models[model] |= shapes_in(path)
                except InputError:  # noted when that file is checked
                    continue
        return self._models[model]

    @cached_property
    def _models(self) -> dict[str, dict[str, list[int]]]:
        return {}


def remove(faults: Iterable[Fault], strays: Iterable[Path]) -> list[Path]:
    """Delete every output with a fault, and what interrupted jobs left; returns what was deleted.

    Where a link is in between, nothing is: jobs make none.
    """
    outputs = [fault.output for fault in faults if not fault.link]
    removed = list(dict.fromkeys([*outputs, *(path for path in strays if is_temporary(path))]))
    for path in removed:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return removed


def is_temporary(path: Path) -> bool:
    """Whether a stray is what an interrupted job leaves."""
    return bool(TEMPORARY.fullmatch(path.name))


def closing_lines(
    verification: Verification, faults: Sequence[Fault], overlays: Sequence[str], deleted: bool
) -> list[str]:
    """How much was read, and the commands that repair what is wrong in an experiment of these overlays."""
    make = "make" if not overlays else f"make EXPERIMENT={shlex.quote(' '.join(overlays))}"
    verify = make.replace("make", "make verify", 1)
    bad = f"{len(faults)} bad" if faults else "nothing is bad"
    lines = [f"{verification.files} files, {verification.size / GB:.2f} GB read: {bad}"]
    if not deleted and (faults or any(map(is_temporary, verification.strays))):
        lines.append(f"What to delete goes with: {verify} ARGS=--delete")
    if faults:
        lines.append(f"What is missing then is made anew by: {make}")
    later = sorted({str(fault.output) for fault in faults if fault.on_demand})
    if later:
        lines.append(
            f"With {', '.join(later)} only once a job needs it; at once, and all that is made from it, by:"
        )
        lines.append(f"{make} ARGS='--forcerun {' '.join(later)}'")
    return lines


def at_work(folder: Path) -> bool:
    """Whether a run holds Snakemake's lock on a working directory, or was killed holding it."""
    return any((folder / ".snakemake/locks").glob("*"))


def _there(link: Path) -> None:
    raise InputError("leads to nothing")


def _table_check(schema: str) -> Check:
    def check(path: Path) -> None:
        parquet.read_table(path, schema)
        parquet.read_provenance(path)

    return check


def _output(parts: tuple[str, ...]) -> tuple[int, bool]:
    """How many parts of a path name the output that it is of, and whether a job makes that on demand."""
    if _fits(parts[:6], EXPORTED):
        return 6, True
    return PARTS.get(parts[0], len(parts)), parts[0] in ON_DEMAND


def _fits(parts: tuple[str, ...], pattern: str) -> bool:
    """Whether a path in results/ is of a pattern, part by part."""
    expected = pattern.split("/")
    return len(parts) == len(expected) and all(map(fnmatchcase, parts, expected))

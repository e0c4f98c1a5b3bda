"""`make verify`: what is whole passes; what was damaged since is named, with what repairs it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from configurations import REPOSITORY, configuration
from safetensors.torch import save_file

from reedit.settings.experiment import Experiment
from reedit.statistics.moments import write_moment
from reedit.storage import parquet, schemas
from reedit.storage.checksums import SUMS, changed_since_fetched, write_sums
from reedit.use.verification import SCHEMAS, Verification, at_work, closing_lines, is_temporary, remove

RUN = "small/mine/memit/trial1"
PARAMETER = "layers.4.mlp.down_proj.weight"
METADATA = {"corpus": "lines", "count": "100", "samples": "7", "max_tokens": "128"}
ITERATION = dict.fromkeys(schemas.SCHEMAS["iterations"].names, 0.5)


KEPT = ("scores", "collapse", "generations", "texts", "norms")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A file of every kind, as the jobs of the small configuration write them."""
    folder = tmp_path / "results"
    for place, schema in {
        "facts/mine": "facts",
        "generation_prompts/mine": "generation_prompts",
        "neighbors/small/mine": "neighbors",
        "splits/small/mine/8x1": "split",
        "prefixes/small": "prefixes",
        "prefixes/small/memit": "prefixes",
        f"edits/{RUN}/targets": "targets",
        f"scores/{RUN}": "scores",
        f"collapse/{RUN}": "collapse",
        f"generations/{RUN}": "generations",
        f"texts/{RUN}": "texts",
        f"norms/{RUN}": "norms",
        **{f"finished/{name}/small/0a1b": name for name in KEPT},
        "summary/runs": "runs",
        "summary/table1": "table",
        "summary/generation": "table",
        "summary/fluency": "table",
        "summary/norms": "norm_summary",
        "summary/table5": "hardware",
    }.items():
        parquet.write([], folder / f"{place}.parquet", schema, {"seed": 3})
    rows = [ITERATION | {"k": k} for k in (1, 2)]
    parquet.write(rows, folder / f"edits/{RUN}/iterations.parquet", "iterations", {"keep_weights": "all"})
    model = folder / "models/small"
    for made in (
        model,
        folder / f"edits/{RUN}/weights",
        folder / f"state/{RUN}/k1",
        folder / "sources/facts",
    ):
        made.mkdir(parents=True)
    save_file({f"model.{PARAMETER}": torch.ones(2, 3)}, model / "model.safetensors")
    for name in ("config.json", "revision.json"):
        (model / name).write_text("{}")
    (model / "merges.txt").write_text("a b")
    for k in (1, 2):
        save_file({f"model.{PARAMETER}": torch.ones(2, 3)}, folder / f"edits/{RUN}/weights/k{k}.safetensors")
    exported = folder / f"edits/{RUN}/model"
    exported.mkdir()
    save_file({f"model.{PARAMETER}": torch.ones(2, 3)}, exported / "model.safetensors")
    for name in ("config.json", "revision.json"):
        (exported / name).write_text("{}")
    (exported / "README.md").write_text("# edited")
    for layer in (4, 5):
        write_moment(torch.eye(3), folder / f"moments/small/lines/{layer}.safetensors", METADATA)
    (folder / f"state/{RUN}/fingerprint").write_text("1")
    (folder / f"state/{RUN}/k1/iteration.json").write_text("{}")
    save_file({PARAMETER: torch.ones(2, 3)}, folder / f"state/{RUN}/k1/weights.safetensors")
    (folder / "exports/small/lines_stats").mkdir(parents=True)
    np.savez(folder / "exports/small/lines_stats/a.npz", a=np.arange(99))
    (folder / "sources/facts/facts.json").write_text("[]")
    write_sums(folder / "sources/facts")
    for name, content in {"figures/a.pdf": b"%PDF %%EOF\n", "figures/a.png": b"PNG IEND\xaeB`\x82"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "tables").mkdir()
    (folder / "tables/table1.md").write_text("| a |")
    (folder / "logs").mkdir()
    (folder / "logs/a.log").touch()
    (folder / ".gitkeep").touch()
    (folder / "models/small/.snakemake_timestamp").touch()
    return folder


def verification_of(results: Path, facts: Path = REPOSITORY / "docs") -> Verification:
    """Of the small configuration, its facts from a local folder whose sha256 it does not tell."""
    config = configuration()
    config["sources"]["facts"] = {"kind": "folder", "path": str(facts)}
    return Verification(results, Experiment(config, REPOSITORY))


def verified(results: Path) -> tuple[list[str], Verification]:
    """The lines of the faults, paths relative to `results`, and the rest of what was found."""
    verification = verification_of(results)
    return [str(fault).replace(f"{results}/", "") for fault in verification.faults()], verification


def test_what_is_whole_passes_and_is_counted(results: Path) -> None:
    lines, verification = verified(results)
    assert lines == [] and verification.strays == []
    files = [path for path in results.rglob("*") if path.is_file() and "logs" not in path.parts]
    assert verification.files == len(files)
    assert verification.size == sum(path.stat().st_size for path in files)


def test_every_declared_table_is_checked() -> None:
    assert set(SCHEMAS.values()) == set(schemas.SCHEMAS)


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


TABLES = ["facts/mine", "neighbors/small/mine", "splits/small/mine/8x1", "prefixes/small"]
TABLES += [f"finished/{name}/small/0a1b" for name in KEPT]
TABLES += ["prefixes/small/memit", f"scores/{RUN}", f"collapse/{RUN}", "summary/runs", "summary/table5"]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_was_cut_off_is_one_line(table: str, results: Path) -> None:
    cut(results / f"{table}.parquet")
    (line,) = verified(results)[0]
    assert line.startswith(f"{table}.parquet: not readable as Parquet (")
    assert line.endswith("; delete it and rerun")


CUT = {  # what was cut off: what is said of it, and what has to be made anew
    f"edits/{RUN}/targets.parquet": ("not readable as Parquet", f"edits/{RUN} and rerun"),
    f"edits/{RUN}/iterations.parquet": ("not readable as Parquet", f"edits/{RUN} and rerun"),
    f"edits/{RUN}/weights/k2.safetensors": ("not readable as safetensors", f"edits/{RUN} and rerun"),
    "moments/small/lines/5.safetensors": ("not readable as safetensors", "moments/small/lines: it is made"),
    "models/small/model.safetensors": ("not readable as safetensors", "models/small: it is made anew once"),
    "models/small/config.json": ("not JSON", "models/small: it is made anew once a job needs it"),
    f"edits/{RUN}/model/model.safetensors": (
        "not readable as safetensors",
        f"edits/{RUN}/model: it is made anew once",
    ),
    f"edits/{RUN}/model/config.json": ("not JSON", f"edits/{RUN}/model: it is made anew once"),
    "exports/small/lines_stats/a.npz": ("not an .npz file", "exports/small/lines_stats: it is made"),
    f"state/{RUN}/k1/weights.safetensors": ("not readable as safetensors", f"state/{RUN} and rerun"),
    f"state/{RUN}/k1/iteration.json": ("not JSON", f"state/{RUN} and rerun"),
    "figures/a.pdf": ("is cut off: no %%EOF at its end", "it and rerun"),
    "figures/a.png": ("is cut off: no IEND at its end", "it and rerun"),
}


@pytest.mark.parametrize("place", CUT)
def test_a_file_that_was_cut_off_is_named_with_what_repairs_it(place: str, results: Path) -> None:
    said, repair = CUT[place]
    cut(results / place)
    (line,) = verified(results)[0]
    assert line.startswith(f"{place}: {said}") and f"; delete {repair}" in line and "\n" not in line


def other_schema(results: Path) -> None:
    parquet.write([], results / "facts/mine.parquet", "split", {})


def other_numbers(results: Path) -> None:
    save_file(
        {f"model.{PARAMETER}": torch.full((2, 3), torch.nan)}, results / f"edits/{RUN}/weights/k1.safetensors"
    )


def other_shape(results: Path) -> None:
    save_file({f"model.{PARAMETER}": torch.ones(3, 3)}, results / f"edits/{RUN}/weights/k1.safetensors")


def other_precision(results: Path) -> None:
    save_file(
        {f"model.{PARAMETER}": torch.ones(2, 3).half()}, results / f"edits/{RUN}/weights/k1.safetensors"
    )


def other_moment(results: Path) -> None:
    write_moment(torch.ones(2, 3), results / "moments/small/lines/4.safetensors", METADATA)


def no_count(results: Path) -> None:
    write_moment(torch.eye(3), results / "moments/small/lines/4.safetensors", METADATA | {"count": "0"})


def no_layer(results: Path) -> None:
    (results / "moments/small/lines/5.safetensors").unlink()


def no_k(results: Path) -> None:
    (results / f"edits/{RUN}/weights/k2.safetensors").unlink()


def no_shard(results: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (results / "models/small/model.safetensors.index.json").write_text(json.dumps(index))


def flipped_bit(results: Path) -> None:
    path = results / "exports/small/lines_stats/a.npz"
    path.write_bytes(path.read_bytes().replace(bytes([98, 0]), bytes([99, 0])))


def empty_table(results: Path) -> None:
    (results / "tables/table1.md").write_text("")


CHANGED: dict[Callable[[Path], None], str] = {
    other_schema: "facts/mine.parquet: columns ",
    other_numbers: f"weights/k1.safetensors: model.{PARAMETER} has entries that are not finite",
    other_shape: f"weights/k1.safetensors: model.{PARAMETER} is of shape [3, 3], expected [2, 3]",
    other_precision: f"weights/k1.safetensors: model.{PARAMETER} is torch.float16, expected torch.float32",
    other_moment: "moments/small/lines/4.safetensors: moment is torch.float32 of shape (2, 3), expected",
    no_count: "moments/small/lines/4.safetensors: count is 0, expected a number of tokens above 0",
    no_layer: "moments/small/lines: 5.safetensors is missing, expected for an edited layer",
    no_k: "weights: k2.safetensors is missing, expected with keep_weights: all",
    no_shard: "models/small: model-00001-of-00002.safetensors is missing, expected by model.",
    flipped_bit: "exports/small/lines_stats/a.npz: a.npy in it has another checksum",
    empty_table: "tables/table1.md: is empty; delete it and rerun",
}


@pytest.mark.parametrize("change", CHANGED, ids=lambda change: change.__name__)
def test_a_file_that_can_be_read_but_is_wrong_is_named(change: Callable[[Path], None], results: Path) -> None:
    change(results)
    (line,) = verified(results)[0]
    assert CHANGED[change] in line


def test_a_source_is_compared_with_what_was_fetched(results: Path) -> None:
    folder = results / "sources/facts"
    (folder / "facts.json").write_text("[1]")
    (line,) = verified(results)[0]
    assert line.startswith("sources/facts: facts.json: sha256 is ") and "when it was fetched" in line
    (folder / "facts.json").unlink()
    (line,) = verified(results)[0]
    assert "facts.json: sha256 is nothing, was 4f53cda18c2baa0c" in line


def test_a_source_is_compared_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    of_file = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # as sha256sum has it
    assert changed_since_fetched(tmp_path, {"kind": "url", "sha256": of_file}) is None
    assert changed_since_fetched(tmp_path, {"kind": "hub", "sha256": {"a.json": of_file}}) is None
    reason = changed_since_fetched(tmp_path, {"kind": "url", "sha256": "0" * 64})
    assert reason == f"content: sha256 is {of_file}, the configuration has {'0' * 64}"
    reason = changed_since_fetched(tmp_path, {"kind": "hub", "sha256": {"b.json": of_file}})
    assert reason == f"b.json: sha256 is nothing, the configuration has {of_file}"


def test_a_source_of_which_no_sum_is_known_is_read(results: Path) -> None:
    (results / "sources/facts" / SUMS).unlink()
    assert verified(results)[0] == []
    (results / "sources/facts/facts.json").write_text("[")
    (line,) = verified(results)[0]
    assert line.startswith("sources/facts: not JSON (")


def test_files_that_a_source_shares_with_the_users_own_are_told(results: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").hardlink_to(results / "sources/facts/facts.json")
    (results / "sources/facts/facts.json").write_text("[1]")
    (fault,) = verification_of(results, tmp_path / "mine").faults()
    assert f"(shares its files with {tmp_path}/mine: bring that back first)" in str(fault)


def test_links_are_read_through_and_left_as_they_are(results: Path, tmp_path: Path) -> None:
    """Models, moments or all of them on another disk; a folder that the user put there himself."""
    for name in ("models", "models/small", "moments", "sources/facts/facts.json"):
        (results / name).rename(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").rename(tmp_path / f"kept-{name.replace('/', '-')}")
        (results / name).symlink_to(tmp_path / f"kept-{name.replace('/', '-')}")
    (results / "tables/again").symlink_to("..")  # a circle
    lines, verification = verified(results)
    assert lines == [] and verification.strays == []
    weights = results / "models/small/model.safetensors"
    cut(weights)
    (fault,) = verification_of(results).faults()
    assert "not readable as safetensors" in str(fault) and "delete" not in str(fault)
    assert f"{results}/models/small is a link to " in str(fault)
    assert remove([fault], []) == [] and weights.exists()


def test_a_link_to_nothing_is_a_fault(results: Path) -> None:
    place = results / "models/small/model.safetensors"
    place.unlink()
    place.symlink_to("../gone")
    (results / "tables/table1.md").unlink()
    (results / "tables/table1.md").symlink_to("gone")
    lines, _ = verified(results)
    assert f"models/small/model.safetensors: leads to nothing; {place} is a link to ../gone".replace(
        f"{results}/", ""
    ) in "\n".join(lines)
    assert any(line.startswith("tables/table1.md: leads to nothing") for line in lines)


def test_what_interrupted_jobs_left_is_named_and_deleted_with_what_is_bad(results: Path) -> None:
    left = [".mine.parquet.0a1b2c3d.tmp", "models/.small.ab_12cd9", f"state/{RUN}/k2.partial"]
    (results / left[0]).touch()
    for folder in left[1:]:
        (results / folder).mkdir()
        (results / folder / "model.safetensors").write_bytes(b"half a mod")
    (results / "notes.txt").touch()  # the user's own
    cut(results / f"edits/{RUN}/weights/k1.safetensors")
    verification = verification_of(results)
    faults = list(verification.faults())
    assert [path for path in verification.strays if is_temporary(path)] == [results / name for name in left]
    assert [path for path in verification.strays if not is_temporary(path)] == [results / "notes.txt"]
    removed = remove(faults, verification.strays)
    assert removed == [results / f"edits/{RUN}", *(results / name for name in left)]
    assert not any(path.exists() for path in removed) and (results / "notes.txt").exists()
    assert verified(results)[0] == []


def test_the_closing_lines_are_commands_that_repair(results: Path) -> None:
    verification = verification_of(results)
    faults = list(verification.faults())
    (line,) = closing_lines(verification, faults, [], False)
    assert line == f"{verification.files} files, 0.00 GB read: nothing is bad"
    cut(results / "models/small/model.safetensors")
    faults = list(verification.faults())
    lines = closing_lines(verification, faults, ["mine"], False)
    assert lines[0].endswith(" read: 1 bad")
    assert lines[1].endswith("make verify EXPERIMENT=mine ARGS=--delete")
    assert lines[2].endswith(": make EXPERIMENT=mine")
    assert lines[-1] == f"make EXPERIMENT=mine ARGS='--forcerun {results}/models/small'"


def test_a_run_at_work_is_seen_by_its_lock(tmp_path: Path) -> None:
    assert not at_work(tmp_path)
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    assert not at_work(tmp_path)
    (tmp_path / ".snakemake/locks/0.input.lock").touch()
    assert at_work(tmp_path)

"""Tables of declared schemas, written atomically, with their provenance."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reedit.errors import InputError
from reedit.storage import parquet
from reedit.storage.files import atomic
from reedit.storage.schemas import SCHEMAS

ROWS = [{"trial": 1, "position": i, "case_id": 10 - i} for i in range(3)]


def test_rows_come_back_in_their_order_with_their_provenance(tmp_path: Path) -> None:
    path = tmp_path / "new" / "split.parquet"
    made_by = {"seed": 1, "settings": {"é": [1, None]}}
    parquet.write(ROWS, path, "split", made_by)
    assert parquet.read(path, "split") == ROWS
    assert parquet.read_table(path, "split").schema.remove_metadata() == SCHEMAS["split"]
    assert parquet.read_provenance(path) == made_by


@pytest.mark.parametrize("schema", sorted(SCHEMAS))
def test_a_table_without_rows_has_its_columns(schema: str, tmp_path: Path) -> None:
    parquet.write([], tmp_path / "empty.parquet", schema, {})
    assert parquet.read_table(tmp_path / "empty.parquet", schema).column_names == SCHEMAS[schema].names


@pytest.mark.parametrize("schema", sorted(SCHEMAS))
def test_counters_are_int64_and_measures_float64(schema: str) -> None:
    counters = {"case_id", "k", "trial", "position", "steps"}
    measures = {"success", "accuracy", "exact_match"}
    for field in SCHEMAS[schema]:
        if field.name in counters:
            assert field.type == pa.int64()
        if field.name in measures or field.name.startswith("ppl"):
            assert field.type == pa.float64()


CONTRACT = {
    "facts": "case_id relation subject prompt target_new target_true paraphrases neighbors",
    "neighbors": "case_id neighbor subject prompt object predicted kept order",
    "split": "trial position case_id",
    "prefixes": "template",
    "targets": (
        "k case_id steps ppl_initial ppl_target ppl_edited hidden_norm delta_norm"
        " residual_before residual_after"
    ),
    "iterations": (
        "k ppl_initial ppl_target ppl_edited delta_p delta_p2 ppl_initial_median ppl_target_median"
        " ppl_edited_median ppl_initial_gmean ppl_target_gmean ppl_edited_gmean update_norm weight_norm"
        " seconds_optimization seconds_spread seconds_total peak_memory_mb"
    ),
    "scores": "k case_id metric prompt accuracy success exact_match logp_new logp_true predicted after",
    "collapse": "k text ppl_released ppl after",
}


@pytest.mark.parametrize("schema", CONTRACT)
def test_the_columns_are_those_of_the_contract(schema: str) -> None:
    assert set(SCHEMAS[schema].names) == set(CONTRACT[schema].split())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"trial": 1, "position": 0}, r"row 1: missing or unknown columns \['case_id'\]"),
        ({"trial": 1, "position": 0, "case_id": 1, "k": 2}, r"row 1: missing or unknown columns \['k'\]"),
        ({"trial": 1, "position": 0, "case_id": "one"}, "does not fit the schema split"),
        ({"trial": 1, "position": 0.5, "case_id": 1}, "does not fit the schema split"),
        ({"trial": [1], "position": 0, "case_id": 1}, "does not fit the schema split"),
    ],
)
def test_a_row_of_other_columns_or_types_is_refused_and_nothing_is_written(
    row: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        parquet.write([ROWS[0], row], tmp_path / "split.parquet", "split", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"trial": [1], "position": [0]}),
        pa.table({"trial": [1], "position": [0], "case_id": [1], "more": [1]}),
        pa.table({"trial": [1], "position": [0], "case_id": ["1"]}),
        pa.table({"trial": pa.array([1], pa.int32()), "position": [0], "case_id": [1]}),
    ],
    ids=["lacking", "more", "text", "int32"],
)
def test_a_file_of_another_schema_is_refused(table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "split.parquet")
    with pytest.raises(InputError, match=r"split\.parquet: columns \[.+\] differ from the schema split"):
        parquet.read(tmp_path / "split.parquet", "split")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.parquet: no such file"):
        parquet.read(tmp_path / "nowhere.parquet", "split")
    for content in (b"", b"no parquet at all, whatever its name says"):
        (tmp_path / "broken.parquet").write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.parquet: not readable as Parquet"):
            parquet.read(tmp_path / "broken.parquet", "split")


def test_a_file_without_provenance_has_none(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "t.parquet")
    assert parquet.read_provenance(tmp_path / "t.parquet") == {}


def test_a_failing_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "split.parquet"
    parquet.write(ROWS, path, "split", {})

    def full(table: pa.Table, where: Path, **options: Any) -> None:
        Path(where).write_bytes(b"half a tab")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parquet.pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        parquet.write(ROWS[:1], path, "split", {})
    monkeypatch.undo()
    assert parquet.read(path, "split") == ROWS
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_replaced_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "new"
    with pytest.raises(KeyboardInterrupt), atomic(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "new" and os.listdir(path.parent) == ["file.txt"]


def test_no_byte_can_be_changed_without_being_seen(tmp_path: Path) -> None:
    """Whichever it is, the rows are read as they were, or not at all."""
    rows = [{"k": 1, "text": "in Kyoto", "ppl_released": 2.5, "ppl": float("inf"), "after": None}] * 3
    path = tmp_path / "collapse.parquet"
    parquet.write(rows, path, "collapse", {"seed": 1})
    content, refused = path.read_bytes(), 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            assert parquet.read(path, "collapse") == rows, place
        except InputError:
            refused += 1
    assert refused > len(content) / 2

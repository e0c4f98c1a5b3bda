"""What the figure on retention shows: the right cases, in the right batch, at the right k."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reedit.report.figures.drawing import save
from reedit.report.figures.retention import (
    NOT_SEQUENTIAL,
    batch_size,
    by_batches,
    places,
    retained,
    retention,
)
from reedit.report.rows.lines import methods_of
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS


def run_row(k: int, algorithm: str, delta_p: float | None, method: str = "x") -> dict[str, Any]:
    named = {"model": "m", "dataset": "d", "method": method, "algorithm": algorithm, "format": "counterfact"}
    row = dict.fromkeys(SCHEMAS["runs"].names) | named
    return row | {"entry": 0, "protocol": "corrected", "trial": 1, "edits": 4, "k": k, "delta_p": delta_p,
                  "assisted": False, "prefixed": False}  # fmt: skip


def case_row(k: int, case_id: int, efficacy: float | None) -> dict[str, Any]:
    row = dict.fromkeys(SCHEMAS["cases"].names) | {"model": "m", "dataset": "d", "method": "x"}
    return row | {"trial": 1, "k": k, "case_id": case_id, "efficacy_accuracy": efficacy}


@pytest.mark.parametrize(
    ("algorithm", "size"),
    [("memit", None), ("memit+batch10", 10), ("alphaedit+spread_only+batch2+rect", 2), ("rome+prune", None)],
)
def test_the_size_of_a_batch_is_read_from_what_the_tables_call_the_method(
    algorithm: str, size: int | None
) -> None:
    assert batch_size(algorithm) == size


def test_cases_are_averaged_by_the_batch_they_were_edited_in_at_the_k_of_the_criterion(
    tmp_path: Path,
) -> None:
    order = [30, 10, 20, 40]  # the split's, not that of the numbers
    rows = [{"trial": 1, "position": place, "case_id": case} for place, case in enumerate(order)]
    parquet.write(rows, tmp_path / "split.parquet", "split", {})
    runs = [run_row(1, "memit+batch2", 9.0), run_row(2, "memit+batch2", 0.5), run_row(3, "memit+batch2", 0.1)]
    at_two = {10: 1.0, 20: 0.25, 30: 0.5, 40: 0.75}
    cases = [case_row(2, case, value) for case, value in at_two.items()]
    cases += [case_row(k, case, 0.0) for k in (1, 3) for case in order]
    (method,) = methods_of(runs)
    where = places({"m/d/x/trial1": str(tmp_path / "split.parquet")})
    assert retained(method, "efficacy_accuracy", cases, where, 2) == {1: 0.75, 2: 0.5}
    table = pa.Table.from_pylist(cases, schema=SCHEMAS["cases"])
    save(retention(runs, table, where, {}), tmp_path / "r.pdf", tmp_path / "r.png")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_edited_at_once_stands_beside_batches_of_one_size() -> None:
    rows = [run_row(1, "memit", 9.0, "plain"), run_row(1, "memit+batch2", 9.0, "two")]
    rows.append(run_row(1, "rome", 9.0, "of another entry"))
    where = {("m", "d", name, 1): {} for name in ("plain", "two", "three")}

    def shown(more: list[dict[str, Any]]) -> list[tuple[str, int]]:
        return [(method.method, size) for method, size in by_batches(methods_of(rows + more), where)]

    assert shown([]) == [("plain", 2), ("two", 2)]
    assert shown([run_row(1, "memit+batch3", 9.0, "three")]) == [("two", 2), ("three", 3)]


def test_without_sequential_runs_a_sentence_says_so() -> None:
    table = pa.Table.from_pylist([case_row(1, 10, 1.0)], schema=SCHEMAS["cases"])
    figure = retention([run_row(1, "memit", 1.0)], table, {}, {})
    assert [text.get_text() for text in figure.texts] == [NOT_SEQUENTIAL]

"""What the figure on retention shows: the right cases, in the right batch, at the right k."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from reedit.report.figures.drawing import save
from reedit.report.figures.retention import (
    NOT_SEQUENTIAL,
    batches,
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


def split_file(tmp_path: Path, order: list[int]) -> str:
    rows = [{"trial": 1, "position": place, "case_id": case} for place, case in enumerate(order)]
    parquet.write(rows, tmp_path / "split.parquet", "split", {})
    return str(tmp_path / "split.parquet")


def test_cases_are_averaged_by_the_batch_they_were_edited_in_at_the_k_of_the_criterion(
    tmp_path: Path,
) -> None:
    order = [30, 10, 20, 40]  # the split's, not that of the numbers
    runs = [run_row(1, "memit+batch2", 9.0), run_row(2, "memit+batch2", 0.5), run_row(3, "memit+batch2", 0.1)]
    at_two = {10: 1.0, 20: 0.25, 30: 0.5, 40: 0.75}
    cases = [case_row(2, case, value) for case, value in at_two.items()]
    cases += [case_row(k, case, 0.0) for k in (1, 3) for case in order]
    (method,) = methods_of(runs)
    made_by = {"m/d/x/trial1": {"batch": 2, "edits": 4}}
    where = batches({"m/d/x/trial1": split_file(tmp_path, order)}, made_by)
    assert retained(method, "efficacy_accuracy", cases, where) == {1: 0.75, 2: 0.5}
    table = pa.Table.from_pylist(cases, schema=SCHEMAS["cases"])
    save(retention(runs, table, where, {}), tmp_path / "r.pdf", tmp_path / "r.png")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"batch": 2, "edits": 5}, {7: 1, 3: 1, 5: 2, 9: 2, 1: 3}),
        ({"batch": 2, "edits": 5, "batches": [1, 3, 1]}, {7: 1, 3: 2, 5: 2, 9: 2, 1: 3}),  # 3, 5, 9: one case
    ],
)
def test_the_facts_of_one_case_are_in_one_batch(
    tmp_path: Path, told: dict[str, Any], expected: dict[int, int]
) -> None:
    where = batches({"m/d/x/trial1": split_file(tmp_path, [7, 3, 5, 9, 1])}, {"m/d/x/trial1": told})
    assert where == {("m", "d", "x", 1): expected}


def test_what_is_edited_at_once_stands_beside_batches_of_one_size(tmp_path: Path) -> None:
    path = split_file(tmp_path, [1, 2, 3, 4, 5, 6])
    told = {"plain": {"batch": None}, "two": {"batch": 2}, "three": {"batch": 3}}

    def shown(*methods: str, apart: str = "") -> dict[str, list[int]]:
        splits = {f"m/d/{name}/trial1": path for name in methods}
        if apart:
            (tmp_path / "apart").mkdir(exist_ok=True)
            splits[f"m/d/{apart}/trial1"] = split_file(tmp_path / "apart", [6, 5, 4, 3, 2, 1])
        made_by = {run: {"edits": 6, **told[run.split("/")[2]]} for run in splits}
        return {run[2]: list(own.values()) for run, own in batches(splits, made_by).items()}

    two, three = [1, 1, 2, 2, 3, 3], [1, 1, 1, 2, 2, 2]
    assert shown("plain", "two") == {"plain": two, "two": two}
    assert shown("plain", "two", "three") == {"two": two, "three": three}, "in which of them is not known"
    assert shown("two", apart="plain") == {"two": two}, "other cases"


def test_without_sequential_runs_a_sentence_says_so() -> None:
    table = pa.Table.from_pylist([case_row(1, 10, 1.0)], schema=SCHEMAS["cases"])
    figure = retention([run_row(1, "memit", 1.0)], table, {}, {})
    assert [text.get_text() for text in figure.texts] == [NOT_SEQUENTIAL]

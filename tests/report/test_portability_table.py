"""Groups of prompts: rows by hand, and in print."""

import csv
import io
from pathlib import Path

import pytest
from made_runs import ITERATION, asked, grouped_runs, score
from printed_tables import printed

from reedit.report.rows.portability import portability_rows
from reedit.report.rows.runs import run_rows
from reedit.storage import parquet

RUN = {"entry": 0, "model": "tiny", "dataset": "facts", "method": "memit", "trial": 1, "format": "mquake"}
RUN |= {"algorithm": "memit", "assisted": False, "prefixed": False, "protocol": "corrected"}
KEY = ("tiny", "facts", "memit", 1)


def written(folder: Path, rows: list) -> tuple[list, dict]:
    """Rows of "runs" of one run with k = 1, and its file of groups."""
    scores = [score(k, case, "efficacy", float(k), 1.0) for k in (0, 1) for case in (1, 2, 3)]
    texts = [{"k": k, "text": "t", "ppl": 20.0, "ppl_released": 1.0, "after": None} for k in (0, 1)]
    tables = {"scores": scores, "collapse": texts, "iterations": [ITERATION | {"k": 1}]}
    for name, of_name in tables.items():
        parquet.write(of_name, folder / f"{name}.parquet", name, {})
    parquet.write(rows, folder / "portability.parquet", "portability", {})
    runs = run_rows(RUN, *(folder / f"{name}.parquet" for name in tables), 4)
    return runs, {KEY: folder / "portability.parquet"}


ROWS = [
    # case 1: two prompts, one of which rests on something that is not known
    *(asked(k, 1, "multi_hop", 0, float(k), float(k), True) for k in (0, 1)),
    *(asked(k, 1, "multi_hop", 1, 0.5, 0.0, False) for k in (0, 1)),
    *(asked(k, 2, "multi_hop", 0, None, 0.0, False) for k in (0, 1)),  # no token to ask for
    *(asked(k, 3, "aliases", 0, 1.0, 1.0, None) for k in (0, 1)),
    asked(1, 1, "multi_hop", 0, 0.0, 0.0, None, after=1),  # along the way
]


def test_means_are_over_prompts_then_over_cases_and_premises_are_the_unedited_models(tmp_path: Path) -> None:
    rows = portability_rows(*written(tmp_path, ROWS), seed=0)
    at = {(row["k"], row["measure"]): row["mean"] for row in rows}
    assert at[1, "multi_hop/forced"] == 0.75 and at[1, "multi_hop/all_forced"] == 0.5
    assert at[1, "multi_hop/generated"] == 0.25, "cases 1 and 2"
    assert at[0, "multi_hop/generated_known"] == 0 and at[1, "multi_hop/generated_known"] == 1
    assert (at[1, "multi_hop/cases"], at[1, "multi_hop/known"]) == (2, 1)
    assert at[1, "aliases/cases"] == 1 and at[1, "aliases/known"] is None
    assert at[1, "aliases/generated_known"] is None
    bounds = {row["measure"]: (row["low"], row["high"]) for row in rows if row["k"] == 1}
    assert bounds["multi_hop/generated"] == (0.0, 0.5) and bounds["multi_hop/cases"] == (None, None)
    assert [row["measure"].split("/")[0] for row in rows[:12]] == ["multi_hop"] * 6 + ["aliases"] * 6


def test_a_run_without_groups_has_no_line(tmp_path: Path) -> None:
    runs, files = written(tmp_path, ROWS)
    other = [row | {"method": "pmet", "algorithm": "pmet"} for row in runs]
    assert {row["method"] for row in portability_rows([*runs, *other], files, 0)} == {"unedited", "memit"}
    assert portability_rows(runs, {}, 0) == []


def test_it_is_printed_group_by_group_with_intervals_where_there_is_room(tmp_path: Path) -> None:
    rows = portability_rows(*written(tmp_path, ROWS), seed=0)
    sheet = printed("portability", rows, ["A note."])
    lines = [line for line in sheet.md.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == [
        "Model",
        "Group",
        "Cases",
        "Known",
        "Algo",
        "k",
        "Forced",
        "All tokens",
        "Generated",
        "Where known",
    ]
    assert [line[1:6] for line in cells[2:6]] == [
        ["multi hop", "2", "1", "Unedited", "0"],
        ["", "", "", "MEMIT", "1"],
        ["aliases", "1", "", "Unedited", "0"],
        ["", "", "", "MEMIT", "1"],
    ]
    assert cells[3][8] == "25.0 [0.0, 50.0]" and cells[5][9] == ""
    assert "25.0" in sheet.tex and "[0.0" not in sheet.tex
    raw = list(csv.DictReader(io.StringIO(sheet.csv)))
    assert raw[1]["multi_hop/generated"] == "0.25" and raw[1]["multi_hop/known"] == "1.0"
    assert "No dataset of this experiment has groups." in printed("portability", []).md


def test_several_trials_are_averaged(tmp_path: Path) -> None:
    methods = [{"method": "memit", "delta_p": [9.0, 0.5], "trial": trial} for trial in (1, 2)]
    methods = [{"model": "small", "dataset": "facts", "edits": 30} | method for method in methods]
    runs, files = grouped_runs(tmp_path, methods, cases=6)
    rows = portability_rows(runs, files, seed=0)
    (known,) = {row["mean"] for row in rows if row["measure"] == "multi_hop/known"}
    assert known == 2 and {row["trials"] for row in rows} == {2}
    forced = [row for row in rows if row["measure"] == "multi_hop/forced" and row["k"] == 2]
    assert forced[0]["spread"] is not None and forced[0]["low"] <= forced[0]["mean"] <= forced[0]["high"]


@pytest.mark.parametrize("lacking", [0, 1])
def test_a_state_that_was_not_asked_has_no_line(tmp_path: Path, lacking: int) -> None:
    runs, files = written(tmp_path, [row for row in ROWS if row["k"] != lacking])
    assert lacking not in {row["k"] for row in portability_rows(runs, files, 0)}

"""Fluency and consistency: means by hand, lines, what was not measured, and the table in print."""

import csv
import io

import numpy as np
import pytest
from made_runs import told_runs
from printed_tables import printed

from reedit.errors import InputError
from reedit.evaluate.measures import DRAWS, resamples
from reedit.report.rows.fluency import fluency_rows
from reedit.report.tables.fluency import FLUENCY
from reedit.storage import parquet

METHODS = [
    {"method": "memit", "delta_p": [9.0, 4.0, 0.5, 0.1], "trial": 1},
    {"method": "memit", "delta_p": [9.0, 4.0, 0.5, 0.1], "trial": 2},
    {"method": "na_memit", "delta_p": [9.0, 8.0], "assisted": True},
]


@pytest.fixture
def made(tmp_path):
    return told_runs(tmp_path, METHODS)


def values_of(path, k, name):
    """A measure of each case at k, NaN where there is none."""
    found = [row[name] for row in parquet.read(path, "texts") if row["k"] == k and row["after"] is None]
    return np.array([np.nan if value is None else value for value in found])


def test_lines_are_those_of_the_tables_of_iterations(made, tmp_path):
    rows = fluency_rows(*made, seed=0)
    parquet.write(rows, tmp_path / "fluency.parquet", "table", {})
    lines = list(dict.fromkeys((row["method"], row["k"], row["role"]) for row in rows))
    assert lines == [
        ("unedited", 0, "unedited"),
        ("memit", 1, "first"),
        ("memit", 3, "selected"),
        ("na_memit", 1, "first"),
        ("na_memit", 2, "last"),
    ]
    assert [row["measure"] for row in rows] == ["fluency", "consistency"] * len(lines)


def test_means_are_over_cases_then_trials_and_intervals_resample_cases(made):
    runs, files = made
    found = {(r["method"], r["k"], r["measure"]): r for r in fluency_rows(runs, files, seed=4)}
    for name in ("fluency", "consistency"):
        trials = [values_of(files["smollm2-135m", "worldfacts", "memit", trial], 3, name) for trial in (1, 2)]
        means = [np.nanmean(trial) for trial in trials]
        row = found["memit", 3, name]
        assert row["mean"] == pytest.approx(np.mean(means)) and row["spread"] == pytest.approx(
            np.std(means, ddof=1)
        )
        drawn = np.zeros(DRAWS)
        for number, trial in enumerate(trials):
            weights = resamples(len(trial), 4, number) * ~np.isnan(trial)
            drawn += (weights @ np.nan_to_num(trial)) / weights.sum(axis=1) / 2
        assert [row["low"], row["high"]] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))
    assert found["na_memit", 1, "fluency"]["spread"] is None


def test_what_was_not_measured_is_empty_and_states_along_the_way_are_left_aside(made):
    runs, files = made
    before = fluency_rows(runs, files, seed=0)
    for path in files.values():
        rows = parquet.read(path, "texts")
        rows += [row | {"after": 2, "fluency": 0.0} for row in rows if row["k"] == 1]
        parquet.write(rows, path, "texts", {})
    assert fluency_rows(runs, files, seed=0) == before
    for path in files.values():
        rows = [row | {"consistency": None} for row in parquet.read(path, "texts") if row["k"] != 1]
        parquet.write(rows, path, "texts", {})
    for row in fluency_rows(runs, files, seed=0):
        nothing = row["k"] == 1 or row["measure"] == "consistency"
        assert (row["mean"] is None, row["low"] is None) == (nothing, nothing)
    lines = [
        line
        for line in printed("fluency", fluency_rows(runs, files, seed=0)).md.splitlines()
        if "NA_MEMIT" in line
    ]
    assert [cell.strip() for cell in lines[0].strip("|").split("|")][3:] == ["", ""]


def test_a_run_without_texts_is_a_line(made):
    with pytest.raises(InputError, match=r"memit/trial1: no texts were given"):
        fluency_rows(made[0], {}, seed=0)


def test_it_is_printed_a_hundredfold_with_intervals_where_there_is_room(made):
    rows = fluency_rows(*made, seed=0)
    sheet = printed("fluency", rows, ["A note."], {"worldfacts": "World facts"})
    lines = [line for line in sheet.md.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + 1 + 5 and "times 100" in sheet.md.replace("\n  ", " ")
    low, high = (100 * rows[0][end] for end in ("low", "high"))
    assert f"{100 * rows[0]['mean']:.1f} [{low:.1f}, {high:.1f}]" in lines[2] and "2†" in lines[6]
    assert f"{100 * rows[0]['mean']:.1f}" in sheet.tex and f"[{low:.1f}" not in sheet.tex
    raw = list(csv.DictReader(io.StringIO(sheet.csv)))
    assert raw[0]["fluency"] == repr(rows[0]["mean"]) and raw[0]["consistency_low"] == repr(rows[1]["low"])
    assert FLUENCY.empty in printed("fluency", []).md

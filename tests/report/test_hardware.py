"""Table 5: which machine, how much memory and how much time each method's edits took."""

import csv
import io

import pytest
from made_runs import ITERATION
from printed_tables import printed

from reedit.report.rows.hardware import hardware_rows
from reedit.report.words import duration
from reedit.storage import parquet
from reedit.storage.provenance import processor_name


def run(folder, method, trial=1, dataset="d", model="m", seconds=(1.0,), memory=(1024.0,), **made_by):
    """One run's identity and its iterations file."""
    path = folder / f"{model}-{dataset}-{method}-{trial}.parquet"
    rows = [
        ITERATION | {"k": k, "seconds_total": time, "peak_memory_mb": size}
        for k, (time, size) in enumerate(zip(seconds, memory, strict=True), start=1)
    ]
    made_by = {"device": "cuda:0", "device_name": "NVIDIA A100-SXM4-80GB", "edits": 8} | made_by
    parquet.write(rows, path, "iterations", made_by)
    algorithm = method.split("_")[-1]
    return {"model": model, "dataset": dataset, "method": method, "algorithm": algorithm}, path


def test_memory_is_the_largest_and_time_the_mean_over_trials_of_all_iterations(tmp_path):
    runs = [
        run(tmp_path, "memit", 1, seconds=(10.0, 20.0), memory=(2048.0, 1024.0)),
        run(tmp_path, "memit", 2, seconds=(10.0,), memory=(3072.0,)),
    ]
    (row,) = hardware_rows(runs)
    assert (row["peak_memory_mb"], row["seconds"], row["iterations"]) == (3072.0, 20.0, 2)
    assert (row["trials"], row["edits"], row["device"]) == (2, 8, "NVIDIA A100-SXM4-80GB")
    parquet.write([row], tmp_path / "table.parquet", "hardware", {})


def test_trials_on_different_machines_name_both_and_a_device_without_a_name_its_kind(tmp_path):
    (row,) = hardware_rows([run(tmp_path, "memit", 1), run(tmp_path, "memit", 2, device_name="NVIDIA H100")])
    assert row["device"] == "NVIDIA A100-SXM4-80GB, NVIDIA H100"
    identity, path = run(tmp_path, "pmet")
    parquet.write(parquet.read(path, "iterations"), path, "iterations", {"device": "cpu", "edits": 8})
    assert hardware_rows([(identity, path)])[0]["device"] == "cpu"


def test_a_job_of_several_processes_names_as_many_devices(tmp_path):
    (row,) = hardware_rows([run(tmp_path, "memit", processes=4)])
    assert row["device"] == "4 x NVIDIA A100-SXM4-80GB"


def test_the_runs_of_a_model_and_of_a_method_stand_together(tmp_path):
    order = [("m", "a", "memit"), ("n", "a", "memit"), ("m", "a", "pmet"), ("m", "a", "na_memit")]
    order += [("m", "b", "memit")]
    runs = [run(tmp_path, method, dataset=dataset, model=model) for model, dataset, method in order]
    found = [(row["model"], row["dataset"], row["method"]) for row in hardware_rows(runs)]
    assert found == [
        ("m", "a", "memit"),
        ("m", "b", "memit"),
        ("m", "a", "na_memit"),
        ("m", "a", "pmet"),
        ("n", "a", "memit"),
    ]


def test_a_run_without_an_iteration_has_no_row(tmp_path):
    assert hardware_rows([run(tmp_path, "memit", seconds=(), memory=())]) == []
    assert printed("table5", []).tex == "% Table 5: This experiment has edited nothing.\n"
    assert "has edited nothing" in printed("table5", []).md


def test_the_table_names_a_model_and_a_method_once_and_escapes_them(tmp_path):
    rows = hardware_rows(
        [run(tmp_path, "na_memit", dataset=name, seconds=(3999.5,), memory=(1536.0,)) for name in "ab"]
    )
    tex = printed("table5", rows, ["50%"], {"m": "M_1"}).tex
    first, second = [text for text in tex.splitlines() if "1.50" in text]
    assert first == r"M\_1 & NA\_MEMIT & a & NVIDIA A100-SXM4-80GB & 1.50 & 1:06:40 & 1 & 8 \\*"
    assert second.startswith(" &  & b & NVIDIA") and r"50\%" in tex
    assert " 1:06:40 |" in printed("table5", rows).md
    found = list(csv.DictReader(io.StringIO(printed("table5", rows).csv)))
    assert [float(row["seconds"]) for row in found] == [3999.5, 3999.5]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00:00"), (59.5, "0:01:00"), (3600, "1:00:00"), (90061, "25:01:01")]
)
def test_durations_are_rounded_to_seconds(seconds, text):
    assert duration(seconds) == text


def test_the_processor_has_the_name_that_linux_gives_it(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A Processor @ 2.1GHz \nflags\t: x\n")
    assert processor_name(tmp_path / "cpuinfo") == "A Processor @ 2.1GHz"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\n")
    assert processor_name(tmp_path / "cpuinfo") == processor_name(tmp_path / "absent") != ""

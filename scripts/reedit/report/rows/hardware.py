"""What the edits of each method ran on, how much memory and how long they took."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.storage import parquet

IDENTITY = ("model", "algorithm", "method", "dataset")
Row = dict[str, Any]


def hardware_rows(runs: Sequence[tuple[Mapping[str, Any], Path | str]]) -> list[Row]:
    """Rows of schema "hardware", model by model and algorithm by algorithm, from runs in any order.

    Each run is its identity (model, dataset, method, algorithm) and its iterations file, whose provenance
    names the device and the number of edits. A run without iterations is left out.
    """
    found: dict[tuple[str, ...], list[Row]] = {}  # by IDENTITY
    for identity, path in runs:
        iterations, made_by = parquet.read(path, "iterations"), parquet.read_provenance(path)
        if iterations:
            key = tuple(identity[name] for name in IDENTITY)
            found.setdefault(key, []).append(_trial(iterations, made_by))
    # a model's runs stay together, in them an algorithm's, in them a method's: each where it came first
    ranks = [list(dict.fromkeys(key[:parts] for key in found)) for parts in (1, 2, 3)]
    order = sorted(found, key=lambda key: [rank.index(key[: len(rank[0])]) for rank in ranks])
    return [dict(zip(IDENTITY, key, strict=True)) | _together(found[key]) for key in order]


def _together(trials: Sequence[Row]) -> Row:
    """What the trials of a method took."""
    return {
        "device": ", ".join(dict.fromkeys(trial["device"] for trial in trials)),
        "seconds": sum(trial["seconds"] for trial in trials) / len(trials),
        "edits": trials[0]["edits"],
        "trials": len(trials),
    } | {name: max(trial[name] for trial in trials) for name in ("peak_memory_mb", "iterations")}


def _trial(iterations: Sequence[Mapping[str, Any]], made_by: Mapping[str, Any]) -> Row:
    device, processes = made_by.get("device_name", made_by["device"]), made_by.get("processes", 1)
    return {
        "device": device if processes == 1 else f"{processes} x {device}",
        "peak_memory_mb": max(row["peak_memory_mb"] for row in iterations),
        "seconds": sum(row["seconds_total"] for row in iterations),
        "iterations": len(iterations),
        "edits": made_by["edits"],
    }

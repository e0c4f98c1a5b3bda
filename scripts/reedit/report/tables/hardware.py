"""Table 5 in print: machines, memory and time."""

from reedit.report.tables.sheet import Column, Table
from reedit.report.words import duration, half_up

HARDWARE = Table(
    name="table5",
    number="5",
    title="What the edits ran on, and what they took.",
    schema="hardware",
    omitted=True,
    columns=(
        Column("Model", "model", align="l", once=("model",)),
        Column("Algo", "method", align="l", once=("model", "method")),
        Column("Dataset", "dataset", align="l"),
        Column("Device", "device", align="l"),
        Column("Memory (GiB)", lambda row: half_up(row["peak_memory_mb"] / 1024, 2)),
        Column("Time (h:mm:ss)", lambda row: duration(row["seconds"])),
        Column("Iterations", "iterations"),
        Column("#", "edits"),
    ),
    block=("model",),
    left=4,
)

"""What the benchmarks share in measuring: the clock, the machine's name, and the table."""

import datetime
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import transformers

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")  # what decides the speed of products
T = TypeVar("T")


def timed(device: torch.device, call: Callable[[], T]) -> tuple[T, float]:
    """What `call` returns and the wall seconds that it took, the device's queue included."""
    _synchronize(device)
    start = time.perf_counter()
    result = call()
    _synchronize(device)
    return result, time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def chunks(items: Sequence[T], count: int) -> list[Sequence[T]]:
    """The items dealt out like cards into at most `count` parts, each as mixed as the whole."""
    return [items[i::count] for i in range(min(count, len(items)))]


def ratio(naive: Sequence[float], ours: Sequence[float]) -> str:
    """Ratio of the sums of the rounds, and its range over single rounds; both in the same unit of work."""
    rounds = [a / b for a, b in zip(naive, ours, strict=True)]
    return f"{sum(naive) / sum(ours):.2f} ({min(rounds):.2f} to {max(rounds):.2f})"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A Markdown table; the first column is text, the others are numbers."""
    print(f"| {' | '.join(columns)} |\n| --- |{' ---: |' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")
    print(flush=True)


def print_machine(device: torch.device, dtypes: str) -> None:
    """One line: what all of this was measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name, flags = _processor()
    parts = [f"{name}, {cores} cores, {torch.get_num_threads()} threads"]
    parts.append(" ".join(f"{flag} {'yes' if flag in flags else 'no'}" for flag in FLAGS))
    if device.type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
    parts.append(f"Python {platform.python_version()}, torch {torch.__version__}")
    parts += [f"transformers {transformers.__version__}", dtypes, str(datetime.date.today())]
    print("; ".join(parts) + ".\n", flush=True)


def _processor() -> tuple[str, set[str]]:
    """The processor's name and its flags, as the kernel tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = [said[key] for key in ("model", "stepping") if key in said]
    name = said.get("model name") or platform.machine()
    detail = f"family {said['cpu family']} model {' stepping '.join(model)}" if "cpu family" in said else ""
    return f"{name} ({detail})" if detail else name, set(said.get("flags", "").split())

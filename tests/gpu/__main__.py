"""python -m gpu: all stages in turn, by the clock; reports/gpu/report.json and report.md."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
Stage = tuple[str, float, Callable[..., None]]  # name, minutes that it may take, what it does


def stages() -> list[Stage]:
    """In the order in which they run."""
    from gpu import agreement, machine, outside, shapes, shortage

    return [
        ("machine", 0.5, machine.rates),
        ("agreement", 2.2, agreement.tiny_models),
        ("smollm2", 0.7, agreement.smollm2),
        ("gpt2-xl", 1.2, shapes.gpt2_xl),
        ("shortage", 0.8, shortage.shortage),
        ("nccl", 0.4, outside.nccl),
        ("gpt-j-6b", 2.2, shapes.gpt_j),
        ("llama-2-7b", 2.2, shapes.llama_2),
        ("easyedit", 1.0, outside.easyedit),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 where something fails, or does not hold, or there is no GPU to ask."""
    parser = argparse.ArgumentParser(prog="make test-gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="what does not fit is left out, by name")
    parser.add_argument("--out", type=Path, default=ROOT / "reports/gpu", help="folder of the report")
    parser.add_argument("--small", action="store_true", help="widths of 64: a rehearsal")
    parser.add_argument("--only", nargs="+", metavar="STAGE", help="these stages alone")
    chosen = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(f"test-gpu: no CUDA device here: torch {torch.__version__} sees none", file=sys.stderr)
        return 1
    if unknown := set(chosen.only or ()) - {name for name, *_ in stages()}:
        parser.error(f"--only: no stage {min(unknown)}; there are {', '.join(n for n, *_ in stages())}")
    from gpu import machine  # seconds of imports, after the line above
    from gpu.clock import Clock
    from gpu.material import quiet
    from gpu.page import page
    from gpu.report import Report

    quiet()
    report = Report(chosen.out, Clock(chosen.minutes), "machine")
    machine.environment(report, chosen.small)
    for name, minutes, stage in stages():
        if not chosen.only or name in chosen.only:
            run(report, name, 60 * minutes * max(1.0, chosen.minutes / 9), stage, chosen.small)
            (chosen.out / "report.md").write_text(page(report), encoding="utf-8")
    print(f"{len(report.bad)} findings are not as they should be: {chosen.out / 'report.md'}, report.json")
    return 1 if report.bad else 0


def run(report: Any, name: str, seconds: float, stage: Callable[..., None], small: bool) -> None:
    """One stage, which ends with its time or an error and leaves the others theirs."""
    from gpu.material import tidy

    report.stage = name
    if report.clock.left() < seconds / 2:
        report.left_out(name, f"{max(0.0, report.clock.left()):.0f} s are left of the minutes")
        return
    try:
        with report.clock.ending(seconds):
            stage(report, small)
    except Exception as error:
        report.failed(name, error)
    tidy()


if __name__ == "__main__":
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.exit(main())

"""What runs in a process of its own: EasyEdit's algorithms on the GPU, and NCCL."""

import os
import subprocess
import sys

import torch

from gpu.material import ROOT
from gpu.report import Report

NCCL = """
import torch
torch.cuda.set_device(0)
both, store = "cpu:gloo,cuda:nccl", torch.distributed.HashStore()  # as ranks.py has them
torch.distributed.init_process_group(both, store=store, rank=0, world_size=1)
sent = torch.ones(3, device="cuda")
torch.distributed.broadcast(sent, src=0)
told = [None]
torch.distributed.all_gather_object(told, {"delta": torch.ones(2)})
torch.distributed.barrier()
torch.distributed.destroy_process_group()
print("both backends answer")
"""
TESTS = ["-m", "slow", "-p", "no:cacheprovider", "tests/edit/test_easyedit.py", "-k", "real_checkout"]


def nccl(report: Report, small: bool) -> None:
    """One process that joins itself by NCCL and gloo: the backends are there. Several GPUs stay unseen."""
    if not torch.distributed.is_nccl_available():
        report.left_out("NCCL", f"torch {torch.__version__} was built without it")
        return
    done = _run(["-c", NCCL], 90)
    said = (done.stdout + done.stderr).strip().splitlines() or [""]
    report.expect("NCCL and gloo answer in one process", done.returncode == 0, said=said[-1][:300])


def easyedit(report: Report, small: bool) -> None:
    """MEMIT, ROME and PMET of the checkout that EASYEDIT names: the updates of our released protocol."""
    if "EASYEDIT" not in os.environ:
        report.left_out("EasyEdit's algorithms", "EASYEDIT names no checkout (docs/easyedit.md)")
        return
    done = _run(["-m", "pytest", *TESTS], max(10.0, report.clock.left()))
    said = (done.stdout + done.stderr).strip().splitlines() or [""]
    why = [line for line in said if line.startswith("E ")][:2]
    passed = done.returncode == 0 and "skipped" not in said[-1]
    report.expect("EasyEdit's MEMIT, ROME and PMET make our updates", passed, said=[*why, said[-1][:300]])


def _run(arguments: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)

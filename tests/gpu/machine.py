"""The machine: who it is, and how fast it multiplies in each precision."""

import platform
import subprocess

import tokenizers
import torch
import transformers
from measuring import timed

from gpu.material import DEVICE, GIB, ROOT
from gpu.report import Report
from reedit.edit.easyedit.checkout import commit_of
from reedit.storage.provenance import processor_name
from reedit.use.plan import GPUS

PRODUCTS = {  # by name as in a model's `dtype`: the tensors' dtype, and what torch may round products to
    "float32": (torch.float32, "highest"),
    "tfloat32": (torch.float32, "high"),
    "bfloat16": (torch.bfloat16, "highest"),
    "float16": (torch.float16, "highest"),
    "float64": (torch.float64, "highest"),
}


def environment(report: Report, small: bool) -> None:
    """What a reader has to know of the machine, the packages and the code."""
    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    report.environment(
        **{
            "GPU": torch.cuda.get_device_name(),
            "compute capability": f"{major}.{minor}",
            "GPU memory, GiB": f"{total / GIB:.1f}, {free / GIB:.1f} of them free",
            "GPUs here": torch.cuda.device_count(),
            "driver": driver(),
            "CUDA of torch": torch.version.cuda,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "tokenizers": tokenizers.__version__,
            "Python": platform.python_version(),
            "system": platform.platform(),
            "processor": processor_name(),
            "commit": commit_of(ROOT) or "unknown",
            "size": "small, a rehearsal: no number of speed or memory counts" if small else "the paper's",
        }
    )


def driver() -> str:
    """The driver's version, as its own tool tells it."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.split("\n")[0].strip()


def rates(report: Report, small: bool) -> None:
    """Operations a second of large products, beside the peaks that `make plan` reckons with."""
    name = torch.cuda.get_device_name()
    known = next((device for device in GPUS if device.name in name), None)
    size, repeats = (128, 2) if small else (8192, 5)
    for precision, (dtype, rounding) in PRODUCTS.items():
        torch.set_float32_matmul_precision(rounding)
        a, b = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
        torch.matmul(a, b)
        count = 1 if precision == "float64" else repeats

        def multiply(a: torch.Tensor = a, b: torch.Tensor = b, count: int = count) -> None:
            for _ in range(count):
                torch.matmul(a, b)

        _, seconds = timed(torch.device(DEVICE), multiply)
        plan = None
        if known:
            plan = (known.double if precision == "float64" else known.speeds[precision]) / 1e12
        rate = count * 2 * size**3 / seconds
        report.measured(f"products in {precision}", rate / 1e12, "TFLOP/s", plan, rate=rate)
    torch.set_float32_matmul_precision("highest")


def measured_rate(report: Report, precision: str) -> float | None:
    """Operations a second that `rates` found, None where it did not run."""
    lines = [line for line in report.of("measured") if line["what"] == f"products in {precision}"]
    return lines[-1]["rate"] if lines else None

"""How much memory is free, on a device and within a cluster job's control group; when it was too little."""

import gc
import re
from pathlib import Path

import psutil
import torch
from accelerate.utils.memory import should_reduce_batch_size

# How devices, their libraries and the CPU say that memory is short, beside what accelerate knows.
SHORT = re.compile(
    r"""\bout\ of\ memory
    | OUT_OF_(DEVICE|HOST)_MEMORY | ErrorOutOfMemory | ErrorMemoryAllocation | rocblas_status_memory_error
    | \w+_STATUS_\w*ALLOC(ATION)?_FAILED | CUFFT_ALLOC_FAILED
    | _STATUS_(NOT_INITIALIZED|INTERNAL_ERROR)\b.*Create\(  # a library that cannot begin found no room
    | DefaultCPUAllocator:\ not\ enough\ memory | Cannot\ allocate\ memory | bad_alloc
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def says_out_of_memory(error: Exception) -> bool:
    """Whether an error says that a device or the machine has too little memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or should_reduce_batch_size(error):
        return True
    return isinstance(error, (RuntimeError, OSError)) and bool(SHORT.search(str(error)))


def without_frames(error: Exception) -> Exception:
    """The same error without its traceback and those of its causes: their frames hold what was made there."""
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and (one is error or one.__traceback__ is not None):
            one.__traceback__ = None
            waiting += [one.__cause__, one.__context__]
    return error


def release_unused() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory that can still be taken on a device; on a CPU also within a cluster job's control group."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    free = psutil.virtual_memory().available
    return min([free, *_left_in_control_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _left_in_control_groups(membership: Path, root: Path) -> list[int]:
    """What each control group above this process that has a limit leaves to it (Linux, version 2)."""
    if not membership.exists():
        return []
    own = [line[4:] for line in membership.read_text().splitlines() if line.startswith("0::/")]
    left = []
    for path in own:
        group = root / path
        while group.is_relative_to(root):
            limit, used = group / "memory.max", group / "memory.current"
            if limit.exists() and used.exists() and limit.read_text().strip() != "max":
                left.append(max(0, int(limit.read_text()) - int(used.read_text())))
            group = group.parent
    return left

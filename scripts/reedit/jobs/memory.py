"""How much memory is free, on a device and within a cluster job's control group."""

from pathlib import Path

import psutil
import torch


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

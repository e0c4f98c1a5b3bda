"""Which GPUs a job takes: of those that it may see, those that no other job of this user holds.

Snakemake, like most schedulers of one machine, counts GPUs and does not say which, and CUDA's first one would
be every job's. nvidia-smi lists them in a process of its own: asking CUDA, or torch, would fix what this one
sees. A job holds a GPU by a lock on a file, which the system takes back however the process ends.
"""

import fcntl
import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
CLAIMED = (
    "REEDIT_GPUS"  # in the environment, for a job's own processes: what VISIBLE was when the job had its GPUs
)
QUERY = ("nvidia-smi", "--query-gpu=index,uuid,memory.free,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True)
class Gpu:
    """A GPU as nvidia-smi lists it, in the order of CUDA_DEVICE_ORDER=PCI_BUS_ID."""

    index: int
    uuid: str
    free: int  # MiB, 0 where it does not say
    total: int = 0


def claim_gpus(count: int, folder: Path | None = None) -> None:
    """Take `count` GPUs until this process ends, and let it and its own processes see no others.

    Has to come before CUDA is asked for anything. Of the free ones those with most memory; where other jobs
    hold them, the others with most memory left, with a line in the log. Where no more than `count` are to be
    seen, as under a scheduler that gives jobs their own, they are taken as they are. `folder`: of the locks,
    by default this user's in the temporary directory. Nothing happens without nvidia-smi, nor in a process of
    a job that has its GPUs.
    """
    given = os.environ.get(VISIBLE)
    if os.environ.get(CLAIMED) == (given or ""):
        return
    gpus = visible_gpus(listed_gpus(), given)
    if not gpus:
        return
    folder = folder or Path(tempfile.gettempdir()) / f"reedit-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _one_at_a_time(folder / "claiming"):  # so that two jobs do not take half of what each needs
        ordered = sorted(gpus, key=lambda gpu: -gpu.free)
        held: list[Gpu] = []
        for gpu in ordered:
            if len(held) < count and _lock(_place(folder, gpu)) is not None:  # its handle stays open
                held.append(gpu)
    shared = [gpu for gpu in ordered if gpu not in held][: count - len(held)]
    for gpu in held:
        logging.getLogger("reedit").info("on GPU %s, %d MiB free", gpu.uuid, gpu.free)
    for gpu in shared:
        logging.getLogger("reedit").warning(
            "no GPU is free: another job holds %s, too, where %d MiB are left", gpu.uuid, gpu.free
        )
    if len(gpus) > count:
        os.environ[VISIBLE] = ",".join(gpu.uuid for gpu in held + shared)
    os.environ[CLAIMED] = os.environ.get(VISIBLE, "")


def listed_gpus() -> list[Gpu]:
    """The GPUs of this machine, none where nvidia-smi is missing or finds none."""
    try:
        said = subprocess.run(QUERY, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.split(", ") for line in said.splitlines() if line.count(", ") == 3]
    return [
        Gpu(int(index), uuid, *(int(size) if size.isdigit() else 0 for size in memory))
        for index, uuid, *memory in rows
    ]


def visible_gpus(gpus: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    """Those that a value of CUDA_VISIBLE_DEVICES lets a process see: all for None.

    It names indices, beginnings of UUIDs, or parts of GPUs (MIG), which are not listed; as for CUDA, what
    follows a name of nothing is not to be seen.
    """
    if visible is None:
        return list(gpus)
    found: list[Gpu] = []
    for name in map(str.strip, visible.split(",")):
        meant = [gpu for gpu in gpus if name == str(gpu.index) or (name and gpu.uuid.startswith(name))]
        if name.startswith("MIG-"):
            meant = [Gpu(-1, name, 0)]
        if len(meant) != 1:
            break
        found += meant
    return found


def _place(folder: Path, gpu: Gpu) -> Path:
    return folder / re.sub(r"[^\w-]", "_", gpu.uuid)


def _lock(path: Path, wait: bool = False) -> int | None:
    """Lock a file, until the handle is closed or the process ends; None where another one has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    handle = _lock(path, wait=True)
    try:
        yield
    finally:
        os.close(handle)

"""One edit job in several processes of this machine, each with a GPU of its own, started as by torchrun."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.settings import EditSettings
from reedit.errors import InputError
from reedit.jobs.device import job_device
from reedit.jobs.job import job


def share_edit_run(
    processes: int,
    log: Path,
    paths: Mapping[str, Path],
    state_folder: Path,
    settings: EditSettings,
) -> None:
    """`edit_run` in `processes` processes, which append to `log` and share this one's threads.

    Where one ends before its time so do the others and this one: a line says which, or its own has. Raises
    InputError where there are fewer GPUs.
    """
    if job_device(processes) == "cuda" and processes > (found := torch.cuda.device_count()):
        raise InputError(f"config: models: processes is {processes}, expected at most the {found} GPUs here")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it would tell it in pages
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    os.environ["OMP_NUM_THREADS"] = str(max(1, threads // processes))
    launch = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
    )
    with TemporaryDirectory() as folder:
        description = Path(folder) / "job.json"
        described = {
            "log": log,
            "paths": dict(paths),
            "state_folder": state_folder,
            "settings": asdict(settings),
            "parent": os.getpid(),
        }
        description.write_text(json.dumps(described, default=str))
        try:
            elastic_launch(launch, sys.executable)("-m", __name__, str(description))
        except ChildFailedError as error:
            rank, failure = min(
                error.failures.items(), key=lambda item: (item[1].exitcode > 0, item[1].timestamp)
            )  # one that was killed before those that missed it
            if failure.exitcode > 0:  # it has said why
                sys.exit(failure.exitcode)
            logging.getLogger("reedit").error(
                "error: process %d of %d was ended by %s; what is done is kept, a rerun goes on from there",
                *(rank + 1, processes, failure.signal_name()),
            )
            sys.exit(1)  # no InputError: another try may help


def run_shared(description: Path) -> None:
    """This process's part of a job that `description` tells, as written by share_edit_run."""
    told = json.loads(description.read_text())
    threading.Thread(target=_end_with, args=(told["parent"],), daemon=True).start()
    leads = os.environ.get("RANK", "0") == "0"
    with job(told["log"], shared=True, level=logging.INFO if leads else logging.WARNING):
        paths = {name: Path(path) for name, path in told["paths"].items()}
        edit_run(paths, Path(told["state_folder"]), EditSettings(**told["settings"]))


def _end_with(parent: int) -> None:
    """End this process when its parent has: torchrun's processes outlive a kill of what started them."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    run_shared(Path(sys.argv[1]))

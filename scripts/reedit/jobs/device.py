"""The device that a job computes on: whatever asks whether there is a GPU asks here."""

import torch

from reedit.jobs.gpus import claim_gpus


def job_device(gpus: int = 1) -> str:
    """ "cuda" where there is one, else "cpu". A job's first question takes its `gpus` GPUs (gpus.py)."""
    if torch.version.cuda and not torch.cuda.is_initialized():
        claim_gpus(gpus)
    return "cuda" if torch.cuda.is_available() else "cpu"

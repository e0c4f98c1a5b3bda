"""The device that a job computes on: whatever asks whether there is a GPU asks here."""

import torch

from reedit.jobs.gpus import claim_gpus


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 faster than it multiplies float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def job_device(gpus: int = 1) -> str:
    """ "cuda" where there is one, else "cpu". A job's first question takes its `gpus` GPUs (gpus.py)."""
    if torch.version.cuda and not torch.cuda.is_initialized():
        claim_gpus(gpus)
    return "cuda" if torch.cuda.is_available() else "cpu"

"""Eigenvalues and eigenvectors of the second moments, found once for a model and corpus.

Whatever an algorithm's threshold is, its null space is spanned by some of these vectors.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.errors import MENDED, InputError
from reedit.jobs.device import job_device
from reedit.jobs.progress import progress
from reedit.statistics.moments import read_moment
from reedit.storage.files import atomic
from reedit.storage.tensors import metadata_of, read_tensors


def decomposed(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues [key], ascending, and eigenvectors [key, key], as columns, of C; computed in fp64."""
    values, vectors = torch.linalg.eigh(moment.double())
    return values, vectors


def decompose_moments(moments: Path, folder: Path, layers: Iterable[int]) -> None:
    """Write the spectra of some layers' second moments, files of folder `moments`, to `folder`."""
    device, layers = torch.device(job_device()), list(layers)
    report = progress("second moments decomposed", len(layers))
    for done, layer in enumerate(layers, start=1):
        _decompose(moments / f"{layer}.safetensors", folder / f"{layer}.safetensors", device)
        report(done)


def _decompose(moment_file: Path, path: Path, device: torch.device) -> None:
    """One layer; nothing of it stays in memory."""
    moment, metadata = read_moment(moment_file)
    moment = moment.to(device, torch.float64)
    write_spectrum(decomposed(moment), path, metadata)


def write_spectrum(spectrum: tuple[Tensor, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write one layer's eigenvalues in fp64, its eigenvectors in fp32."""
    values, vectors = spectrum
    tensors = {"values": values.cpu(), "vectors": vectors.float().cpu().contiguous()}
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata))


def read_spectrum(path: Path) -> tuple[Tensor, Tensor, dict[str, str]]:
    """Eigenvalues, eigenvectors and metadata, which has the count of tokens; their shapes are checked."""
    tensors, metadata = read_tensors(path), metadata_of(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    keys = len(tensors["values"]) if "values" in tensors else 0
    if shapes != {"values": (keys,), "vectors": (keys, keys)} or "count" not in metadata:
        raise InputError(
            f"{path}: holds {shapes}, expected values (keys,), vectors (keys, keys) and a count of tokens"
            f"{MENDED}"
        )
    return tensors["values"], tensors["vectors"], metadata

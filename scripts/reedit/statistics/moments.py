"""Second moments E[k k^T] of the edited modules' inputs: all layers in one pass (design, section 8)."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import length_hint
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.errors import InputError
from reedit.jobs.progress import progress
from reedit.models.batches import by_length, halving, list_halves, padded
from reedit.models.language_model import LanguageModel, captured, stopped_before, wide
from reedit.models.tokens import encode
from reedit.storage.files import atomic
from reedit.storage.tensors import metadata_of, read_tensors

COUNT = re.compile(r"[1-9][0-9]{0,17}")  # of tokens, in the metadata
ASYMMETRY = 1e-3  # of the Frobenius norm; what a sum of fp32 products may show


@torch.no_grad()
def collect_moments(
    model: LanguageModel,
    texts: Iterable[str],
    layers: Sequence[int],
    max_tokens: int,
    budget: int = 4096,
    chunk: int = 1000,
) -> tuple[dict[int, Tensor], int]:
    """Uncentred second moments of the keys of `layers`, fp64 [key, key] each, and the token count.

    Every text is cut to `max_tokens` tokens. The texts are read `chunk` at a time, and batched by length
    within a chunk; `budget`: padded positions per forward pass.
    """
    limit = model.model.config.max_position_embeddings
    if max_tokens > limit:
        raise InputError(f"corpora: max_tokens is {max_tokens}, expected at most the model's {limit}")
    sums: dict[int, Tensor] = {}
    modules = {str(layer): model.mlp_output(layer) for layer in layers}
    count = read = 0
    report = progress("documents for the moments", length_hint(texts))

    def keys_of(batch: list[list[int]]) -> dict[str, Tensor]:
        ids, mask = padded(batch, 0, model.device)
        with captured(modules, {}) as seen, stopped_before(modules[str(max(layers))]):
            model.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        return {name: wide(keys[mask.bool()]) for name, keys in seen.items()}  # [tokens, key] each

    stream = iter(texts)
    while part := list(islice(stream, chunk)):
        rows = [row for text in part if (row := encode(model.tokenizer, text)[:max_tokens])]
        tokens, fed = sum(map(len, rows)), 0
        batches = [[rows[i] for i in batch] for batch in by_length([len(row) for row in rows], budget)]
        for found in halving(batches, keys_of, list_halves):
            for layer in layers:
                keys = found[str(layer)]
                if layer not in sums:
                    sums[layer] = keys.new_zeros(keys.shape[1], keys.shape[1], dtype=torch.float64)
                add_products(keys, sums[layer])
            fed += len(keys)
            report(read + len(part) * fed // tokens)
        count, read = count + tokens, read + len(part)
    if not count:
        raise InputError("second moments: no token in the documents, expected at least one")
    dimension = next(iter(sums.values())).shape[0]
    logger = logging.getLogger("reedit")
    logger.info("%d tokens for %d dimensions (%.1f times)", count, dimension, count / dimension)
    if count < 2 * dimension:
        logger.warning("a moment of fewer tokens than twice its dimensions is hardly of full rank")
    return {layer: (total + total.tril(-1).T) / count for layer, total in sums.items()}, count


def add_products(keys: Tensor, total: Tensor, blocks: int = 8) -> None:
    """Add K^T K to the lower triangle of `total`, fp64 [key, key]; `keys` [tokens, key].

    The product is symmetric: by blocks of rows, little more than half of it is computed, in fp32.
    """
    size = keys.shape[1]
    for block in range(blocks):
        start, stop = block * size // blocks, (block + 1) * size // blocks
        product = keys[:, start:stop].T @ keys[:, :stop]
        total[start:stop, :stop] += product.tril(start)


def write_moment(moment: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write one layer's moment as fp32 safetensors."""
    with atomic(path) as temporary:
        save_file({"moment": moment.float().cpu().contiguous()}, temporary, metadata=dict(metadata))


def read_moment(path: Path) -> tuple[Tensor, dict[str, str]]:
    """One layer's moment, fp32 [key, key], and its metadata, which has the count of tokens; both checked."""
    tensors, metadata = read_tensors(path), metadata_of(path)
    if "moment" not in tensors:
        raise InputError(f"{path}: holds {sorted(tensors)}, expected moment; delete its folder and rerun")
    moment = tensors["moment"]
    if moment.dtype != torch.float32 or moment.dim() != 2 or not 0 < len(moment) == moment.shape[1]:
        found = f"{moment.dtype} of shape {tuple(moment.shape)}"
        raise InputError(f"{path}: moment is {found}, expected torch.float32 of (keys, keys)")
    if not COUNT.fullmatch(metadata.get("count", "")):
        found = metadata.get("count", "missing")
        raise InputError(f"{path}: count is {found}, expected a number of tokens above 0")
    check_moment(moment, f"{path}: moment")
    return moment, metadata


def check_moment(moment: Tensor, where: str) -> None:
    """Raise InputError unless `moment` [key, key] is finite and symmetric, with a positive diagonal."""
    if not moment.isfinite().all():
        raise InputError(f"{where} has entries that are not finite")
    asymmetry = float((moment - moment.T).norm() / moment.norm().clamp_min(1e-30))
    if not asymmetry <= ASYMMETRY:  # NaN, where a norm is beyond the range of fp32
        raise InputError(f"{where} is not symmetric (by {asymmetry:.2g} of its norm)")
    if not (moment.diagonal() > 0).all():
        raise InputError(f"{where} has a diagonal that is not positive")

"""Second moments E[k k^T] of the edited modules' inputs: all layers in one pass (design, section 8)."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reedit.batches import by_length, padded
from reedit.errors import InputError
from reedit.files import atomic
from reedit.language_model import LanguageModel, captured, stopped_after
from reedit.progress import progress
from reedit.tokens import encode


@torch.no_grad()
def collect_moments(
    model: LanguageModel, texts: Sequence[str], layers: Sequence[int], max_tokens: int, budget: int = 4096
) -> tuple[dict[int, Tensor], int]:
    """Uncentred second moments of the keys of `layers`, fp64 [key, key] each, and the token count.

    Every text is cut to `max_tokens` tokens; `budget`: padded positions per forward pass.
    """
    rows = [encode(model.tokenizer, text)[:max_tokens] for text in texts]
    rows = [row for row in rows if row]
    sums: dict[int, Tensor] = {}
    modules = {str(layer): model.mlp_output(layer) for layer in layers}
    count, total = 0, sum(len(row) for row in rows)
    report = progress("moment tokens", total)
    for batch in by_length([len(row) for row in rows], budget):
        ids, mask = padded([rows[i] for i in batch], 0, model.device)
        with captured(modules, {}) as seen, stopped_after(model.layers[max(layers)]):
            model.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        for layer in layers:
            keys = seen[str(layer)][mask.bool()].float()  # [tokens, key]
            product = (keys.T @ keys).double()  # fp32 within a batch, fp64 over batches
            sums[layer] = sums[layer] + product if layer in sums else product
        count += int(mask.sum())
        report(count)
    dimension = next(iter(sums.values())).shape[0]
    logger = logging.getLogger("reedit")
    logger.info("%d tokens for %d dimensions (%.1f times)", count, dimension, count / dimension)
    if count < 2 * dimension:
        logger.warning("a moment of fewer tokens than twice its dimensions is hardly of full rank")
    return {layer: total / count for layer, total in sums.items()}, count


def write_moment(moment: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write one layer's moment as fp32 safetensors."""
    with atomic(path) as temporary:
        save_file({"moment": moment.float().cpu().contiguous()}, temporary, metadata=dict(metadata))


def read_moment(path: Path) -> tuple[Tensor, dict[str, str]]:
    """One layer's moment, fp32 [key, key], and its metadata."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("moment"), file.metadata() or {}
    except Exception as error:  # safetensors raises its own types
        raise InputError(f"{path}: not a second moment in safetensors ({error})") from error

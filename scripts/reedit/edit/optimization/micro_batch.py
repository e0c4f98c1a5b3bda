"""How many edits and rows OPTIMIZATION takes on at once, from what memory is free."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reedit.edit.edits import Edit
from reedit.jobs.memory import free_bytes
from reedit.models.language_model import LanguageModel

GRAPH_SHARE, CACHE_SHARE = 0.4, 0.2  # of the free memory, for one pass's graph and for frozen positions
# numbers that a pass keeps for its way back, per position and layer, counted on Llama in eager mode
PER_WIDTH, PER_KEY = 16, 6


@dataclass(frozen=True)
class MicroBatch:
    """How much OPTIMIZATION takes on at once."""

    positions: int  # of one forward and backward pass
    edits: int  # whose frozen keys and values are held together


def micro_batch(model: LanguageModel, edits: Sequence[Edit], layer: int) -> MicroBatch:
    """What fits into free memory, and no more than pays: a guess that `batches.halving` corrects.

    `layer` is l_c. On a CPU 512 positions fill two cores' matrix units, and small batches have less padding.
    """
    positions, edits_at_once = (512, 64) if model.device.type == "cpu" else (16384, 256)
    free = free_bytes(model.device)
    after = len(model.layers) - layer - 1
    d, keys = model.weight(layer).shape
    size = torch.finfo(model.model.dtype).bits // 8
    per_position = max(1, after) * (PER_WIDTH * d + PER_KEY * keys) * size
    longest = max(sum(len(w.row.ids) for w in edit.labelled) for edit in edits)
    per_edit = max(1, after) * 2 * d * longest * size  # no grouped-query attention assumed
    return MicroBatch(
        positions=int(min(positions, max(1, free * GRAPH_SHARE // per_position))),
        edits=int(min(edits_at_once, max(1, free * CACHE_SHARE // per_edit))),
    )

"""Whether a released second moment, which carries no name, is one of the model and layer at hand.

It is compared with a moment of about 5,000 tokens that the model gives itself, by cosine and by trace ratio
(design, section 6). How the thresholds were found: docs/statistics.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.statistics.moments import Reading, key_batches
from reedit.statistics.symmetric import SumOfProducts, inner_product

SAMPLE_TOKENS = 5000
LEAST_COSINE = 0.2
TRACE_RATIOS = (0.5, 2.0)


@dataclass(frozen=True)
class Resemblance:
    """How alike two second moments are."""

    cosine: float  # of what tells the neurons apart; 0 is expected of another model or layer
    trace_ratio: float  # of the moment to the sample

    def __str__(self) -> str:
        return f"cosine {self.cosine:.2f}, trace ratio {self.trace_ratio:.2f}"


class Sample:
    """Keys of the first SAMPLE_TOKENS tokens of some documents; moments are made of them."""

    def __init__(
        self, model: LanguageModel, texts: Iterable[str], layers: Sequence[int], max_tokens: int
    ) -> None:
        """A document counts up to `max_tokens` tokens."""
        batches = key_batches(model, texts, layers, Reading(max_tokens, tokens=SAMPLE_TOKENS))
        self._keys = [keys for _, batch in batches for keys in batch]
        self.tokens = sum(len(keys[layers[0]]) for keys in self._keys)

    def moment(self, layer: int) -> Tensor:
        """The moment of a layer, once: fp32 [key, key] on the CPU."""
        pieces = [keys.pop(layer) for keys in self._keys]
        total = SumOfProducts(pieces[0].shape[1], pieces[0].device)
        while pieces:
            total.add(pieces.pop(0))
        return total.used_up(self.tokens)


def resemblance(moment: Tensor, sample: Tensor) -> Resemblance:
    """Compare a moment with a sample of it, [key, key] each.

    Two moments have in common what does not depend on the order of the neurons: the mean of the diagonal and
    that of the rest. The cosine is taken of what is left without these two.
    """
    product = _product(moment, sample)
    lengths = _product(moment, moment) * _product(sample, sample)
    return Resemblance(product / max(lengths, 1e-60) ** 0.5, float(moment.trace() / sample.trace()))


def _product(one: Tensor, other: Tensor) -> float:
    """Inner product of two [key, key] matrices without the means of their diagonals and of the rest."""
    size = len(one)
    diagonals = [float(matrix.diagonal().sum(dtype=torch.float64)) for matrix in (one, other)]
    rests = [
        float(matrix.sum(dtype=torch.float64)) - diagonal
        for matrix, diagonal in zip((one, other), diagonals, strict=True)
    ]
    shared = diagonals[0] * diagonals[1] / size + rests[0] * rests[1] / (size * (size - 1))
    return inner_product(one, other) - shared


def check_fingerprint(where: str, moment: Tensor, sample: Tensor, tokens: int) -> Resemblance:
    """Raise InputError, naming `where` and the numbers, unless `moment` is of the model that `sample` is of.

    `sample` is a moment over `tokens` tokens of that model and layer, [key, key] as `moment`.
    """
    found = resemblance(moment, sample)
    low, high = TRACE_RATIOS
    if not (found.cosine >= LEAST_COSINE and low <= found.trace_ratio <= high):
        raise InputError(
            f"{where}: not a moment of this model and layer: {found} against {tokens} tokens of its own,"
            f" expected at least {LEAST_COSINE} and {low} to {high}"
        )
    return found

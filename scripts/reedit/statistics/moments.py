"""Second moments E[k k^T] of the edited modules' inputs: all layers in one pass (design, section 8)."""

import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from operator import length_hint
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.errors import MENDED, InputError
from reedit.jobs.progress import progress
from reedit.models.batches import by_length, halving, list_halves, padded
from reedit.models.hooks import captured, stopped_before
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.models.tokens import encode
from reedit.statistics.symmetric import SumOfProducts, asymmetry, is_finite
from reedit.storage.checkpoint import Checkpoint
from reedit.storage.files import atomic
from reedit.storage.tensors import metadata_of, read_tensors

COUNT = re.compile(r"[1-9][0-9]{0,17}")  # of tokens, in the metadata
ASYMMETRY = 1e-3  # of the Frobenius norm; what a sum of fp32 products may show


@dataclass(frozen=True)
class Place:
    """How far a corpus has been read: the documents of whole chunks, then so many batches of the next one."""

    documents: int = 0
    batches: int = 0
    tokens: int = 0  # of the documents of whole chunks


@dataclass(frozen=True)
class Reading:
    """How texts are read: each cut to `max_tokens` tokens; `chunk` at a time, batched by length within it.

    Where there are `tokens`, they are all that is read: the text in which the last one lies is cut behind it.
    """

    max_tokens: int
    budget: int = 4096  # padded positions per forward pass
    chunk: int = 1000
    tokens: int | None = None


@dataclass
class Sums:
    """The sums of k k^T by layer, over how many tokens, and the place in the corpus that they go up to."""

    layers: dict[int, SumOfProducts] = field(default_factory=dict)
    tokens: int = 0
    place: Place = Place()

    def add(self, keys: dict[int, Tensor]) -> None:
        """Add keys [tokens, key] of every layer; they are taken out of `keys`, to be gone one by one."""
        self.tokens += len(next(iter(keys.values())))
        for layer in list(keys):
            found = keys.pop(layer)
            if layer not in self.layers:
                self.layers[layer] = SumOfProducts(found.shape[1], found.device)
            self.layers[layer].add(found)

    def moments(self) -> Iterator[tuple[int, Tensor]]:
        """Layer by layer its moment, fp32 [key, key] on the CPU; what it is made of is gone then."""
        for layer in sorted(self.layers):
            yield layer, self.layers.pop(layer).used_up(self.tokens)

    def write(self, folder: Path) -> None:
        """Save them in an empty folder, a file for each block of a layer's sum: no copy of it is made."""
        for layer, total in self.layers.items():
            for number, block in enumerate(total.blocks):
                save_file({"block": block.cpu()}, folder / f"{layer}.{number}.safetensors")
        sizes = {layer: total.size for layer, total in self.layers.items()}
        told = {"tokens": self.tokens, "place": asdict(self.place), "sizes": sizes}
        (folder / "sums.json").write_text(json.dumps(told))

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> "Sums":
        """What `write` has saved."""
        told = json.loads((folder / "sums.json").read_text())
        sums = cls(tokens=told["tokens"], place=Place(**told["place"]))
        for layer, size in told["sizes"].items():
            total = sums.layers[int(layer)] = SumOfProducts(size, device)
            for number, block in enumerate(total.blocks):
                block.copy_(read_tensors(folder / f"{layer}.{number}.safetensors")["block"])
        return sums


def collect_moments(
    model: LanguageModel,
    texts: Iterable[str],
    layers: Sequence[int],
    reading: Reading,
    saved: Checkpoint | None = None,
) -> tuple[Iterator[tuple[int, Tensor]], int]:
    """Uncentred second moments of the keys of `layers`, and over how many tokens.

    The moments come one after the other, as they are asked for: fp32 [key, key] on the CPU. `saved` keeps the
    sums, now and then: an interrupted job goes on from there, to the same bits.
    """
    sums = (saved.restore(lambda folder: Sums.read(folder, model.device)) if saved else None) or Sums()
    for place, batch in key_batches(model, texts, layers, reading, sums.place):
        for keys in batch:
            sums.add(keys)
        sums.place = place
        if saved:
            saved.save_when_due(sums.write)
    if not sums.tokens:
        raise InputError("second moments: no token in the documents, expected at least one")
    count, dimension = sums.tokens, max(total.size for total in sums.layers.values())
    logger = logging.getLogger("reedit")
    logger.info("%d tokens for %d dimensions (%.1f times)", count, dimension, count / dimension)
    if reading.tokens and count < reading.tokens:
        logger.warning("the corpus ends after %d of the %d tokens that were asked for", count, reading.tokens)
    if count < 2 * dimension:
        logger.warning("a moment of fewer tokens than twice its dimensions is hardly of full rank")
    return sums.moments(), count


def key_batches(
    model: LanguageModel,
    texts: Iterable[str],
    layers: Sequence[int],
    reading: Reading,
    start: Place = Place(),
) -> Iterator[tuple[Place, Iterator[dict[int, Tensor]]]]:
    """Batch by batch the keys of `layers`, in pieces that fit into memory: [tokens, key] each, fp32 at least.

    With each batch the place in the corpus after it; `start`: the place to begin at, which changes no later
    batch.
    """
    limit = model.model.config.max_position_embeddings
    if reading.max_tokens > limit:
        raise InputError(f"corpora: max_tokens is {reading.max_tokens}, expected at most the model's {limit}")
    modules = {str(layer): model.mlp_output(layer) for layer in layers}

    @torch.no_grad()
    def keys_of(batch: list[list[int]]) -> dict[int, Tensor]:
        ids, mask = padded(batch, 0, model.device)
        with captured(modules, {}) as seen, stopped_before(modules[str(max(layers))]):
            model.backbone(input_ids=ids, use_cache=False)
        return {layer: wide(seen.pop(str(layer))[mask.bool()]) for layer in layers}

    stream, before, skip = iter(texts), replace(start, batches=0), start.batches
    report = _progress(texts, reading, before)
    for _ in islice(stream, before.documents):
        pass
    while part := _next_chunk(model, stream, reading, before.tokens):
        rows = [row for row in part if row]
        batches = [
            [rows[i] for i in batch] for batch in by_length([len(row) for row in rows], reading.budget)
        ]
        tokens, fed = sum(map(len, rows)), 0
        after = Place(before.documents + len(part), tokens=before.tokens + tokens)
        for number, batch in enumerate(batches, start=1):
            fed += sum(map(len, batch))
            if number <= skip:
                continue
            last = number == len(batches)
            yield after if last else replace(before, batches=number), halving([batch], keys_of, list_halves)
            report(Place(before.documents + len(part) * fed // tokens, tokens=before.tokens + fed))
        before, skip = after, 0


def _next_chunk(model: LanguageModel, texts: Iterator[str], reading: Reading, taken: int) -> list[list[int]]:
    """The token ids of the next texts, of which no more are read than it takes; `taken`: tokens before."""
    rows: list[list[int]] = []
    left = math.inf if reading.tokens is None else reading.tokens - taken
    while left and len(rows) < reading.chunk and (text := next(texts, None)) is not None:
        rows.append(encode(model.tokenizer, text)[: min(reading.max_tokens, left)])
        left -= len(rows[-1])
    return rows


def _progress(texts: Iterable[str], reading: Reading, begun: Place) -> Callable[[Place], None]:
    """Progress by tokens where these are told, else by documents."""
    if reading.tokens:
        report = progress("tokens for the moments", reading.tokens, begun=begun.tokens)
        return lambda place: report(place.tokens)
    report = progress("documents for the moments", length_hint(texts), begun=begun.documents)
    return lambda place: report(place.documents)


def write_moment(moment: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write one layer's moment as fp32 safetensors."""
    with atomic(path) as temporary:
        save_file({"moment": moment.float().cpu().contiguous()}, temporary, metadata=dict(metadata))


def read_moment(path: Path) -> tuple[Tensor, dict[str, str]]:
    """One layer's moment, fp32 [key, key], and its metadata, which has the count of tokens; both checked."""
    tensors, metadata = read_tensors(path), metadata_of(path)
    if "moment" not in tensors:
        raise InputError(f"{path}: holds {sorted(tensors)}, expected moment{MENDED}")
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
    if not is_finite(moment):
        raise InputError(f"{where} has entries that are not finite")
    if not (found := asymmetry(moment)) <= ASYMMETRY:  # NaN, where a norm is beyond the range of fp32
        raise InputError(f"{where} is not symmetric (by {found:.2g} of its norm)")
    if not (moment.diagonal() > 0).all():
        raise InputError(f"{where} has a diagonal that is not positive")

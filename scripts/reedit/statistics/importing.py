"""Released second moments become a model's own, one layer after the other, once each is found to be its."""

import logging
from collections.abc import Mapping
from pathlib import Path

from reedit.statistics.fingerprint import Sample, check_fingerprint
from reedit.statistics.moments import write_moment
from reedit.statistics.npz_statistics import read_statistics
from reedit.storage.files import file_sha256


def import_moments(
    files: Mapping[int, Path], source: Path, sample: Sample, folder: Path, metadata: Mapping[str, str]
) -> None:
    """Write the moments of the `files` of layers, found under `source`, to `folder`, with `metadata` and own.

    `sample`: of the model's own keys, what they are held against. Raises InputError for a file that is
    damaged or of another model.
    """
    for layer, file in files.items():
        own = {**metadata, "imported_from": str(file.relative_to(source)), "sha256": file_sha256(file)}
        _import_layer(file, sample, layer, folder / f"{layer}.safetensors", own)


def _import_layer(file: Path, sample: Sample, layer: int, path: Path, metadata: Mapping[str, str]) -> None:
    """One layer; nothing of it stays in memory."""
    expected = sample.moment(layer)
    found = read_statistics(file, len(expected))
    alike = check_fingerprint(str(file), found.moment, expected, sample.tokens)
    logging.getLogger("reedit").info("layer %d: %s is this model's (%s)", layer, file.name, alike)
    own = {"count": str(found.count), "fingerprint": f"{alike} over {sample.tokens} tokens"}
    own |= {"samples": str(found.samples)} if found.samples else {}
    write_moment(found.moment, path, {**metadata, **own})

"""Statistics files as the published code leaves them."""

from pathlib import Path
from typing import Any

import numpy as np

KEYS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)  # [tokens, key]


def published(path: Path, **changes: Any) -> Path:
    """A file as ROME's code leaves it: the sum of k k^T, the tokens, and the number of documents."""
    content = {
        "mom2.constructor": "util.runningstats.SecondMoment()",
        "mom2.count": len(KEYS),
        "mom2.mom2": KEYS.T @ KEYS,
        "sample_size": 7,
    } | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: value for key, value in content.items() if value is not None})
    return path

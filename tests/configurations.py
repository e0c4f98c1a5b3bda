"""A small configuration that passes, and its schema."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
SCHEMA = yaml.safe_load((REPOSITORY / "rules/schemas/config.schema.yaml").read_text())
HASH = "0123456789abcdef" * 4

_CONFIG: dict[str, Any] = {
    "sources": {
        "weights": {"kind": "wheel", "package": "p", "version": "1", "member": "p/m.gguf", "sha256": HASH},
        "facts": {"kind": "url", "url": "https://example.org/facts.json", "sha256": HASH},
        "lines": {"kind": "url", "url": "https://example.org/lines.txt", "sha256": HASH},
        "texts": {"kind": "url", "url": "https://example.org/texts.json", "sha256": HASH},
        "own-prefixes": {"kind": "url", "url": "https://example.org/p.json", "sha256": HASH},
    },
    "models": {
        "small": {
            "source": "weights",
            "dtype": "float32",
            "prefixes": {"count": 5, "tokens": 10, "seed": 0},
        },
        "other": {"source": "weights", "dtype": "bfloat16", "prefixes": {"count": 10}},
    },
    "datasets": {
        "mine": {"format": "counterfact", "source": "facts"},
        "mine_eligible": {"format": "counterfact", "source": "facts", "eligible": True},
    },
    "corpora": {"lines": {"format": "lines", "source": "lines", "samples": 100, "max_tokens": 128}},
    "methods": {
        "memit": {"algorithm": "memit"},
        "na_memit": {"algorithm": "memit", "neighbors": {"count": 1, "prefixed": False, "choice": "random"}},
        "na2_memit": {"algorithm": "memit", "neighbors": {"count": 2, "choice": "first"}},
        "memit_released": {"algorithm": "memit", "protocol": "released"},
    },
    "hyperparameters": {
        "memit": {
            name: {
                "layers": layers,
                "v_lr": 0.5,
                "v_num_grad_steps": 25,
                "clamp_norm_factor": 4,
                "v_weight_decay": 0.001,
                "kl_factor": 0.0625,
                "mom2_update_weight": 400,
            }
            for name, layers in {"small": [4, 5], "other": [2, 3]}.items()
        }
    },
    "protocol": "corrected",
    "seed": 3,
    "keep_weights": "all",
    "collapse": {"source": "texts"},
    "runs": [
        {
            "model": "small",
            "dataset": "mine",
            "methods": ["memit"],
            "corpus": "lines",
            "edits": 8,
            "iterations": 2,
        }
    ],
}


def configuration() -> dict[str, Any]:
    """A fresh copy, to be changed at will."""
    return copy.deepcopy(_CONFIG)


def entry(**changes: Any) -> dict[str, Any]:
    """An entry of `runs` as above, with changes."""
    return configuration()["runs"][0] | changes


RELEASED = {"format": "released-statistics", "source": "npz", "check": "lines"}
NPZ = {"kind": "hub", "repo": "a/b", "repo_type": "dataset", "revision": "c" * 40, "files": ["d/e.npz"]}


def with_released(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], None]:
    """A change of a configuration that has released statistics on the hub, and a corpus there."""

    def prepared(config: dict[str, Any]) -> None:
        config["sources"]["npz"] = dict(NPZ)
        config["corpora"]["released"] = dict(RELEASED)
        config["corpora"]["wiki"] = {"format": "hub", "source": "npz", "samples": 9, "max_tokens": 9}
        change(config)

    return prepared

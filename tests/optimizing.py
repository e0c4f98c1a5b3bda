"""A small OPTIMIZATION: its hyperparameters, and edits for it behind two prefixes."""

from typing import Any

import torch

from reedit.edit.edits import Edit, Rows
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

LAYER = 3
MEMIT, PMET = ALGORITHMS["memit"], ALGORITHMS["pmet"]
TEMPLATES = ["The old town of. {}", "Because he plays, I. {}"]
SETTINGS = {
    "layers": [LAYER],
    "v_lr": 0.5,
    "v_num_grad_steps": 6,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
}


def edits_of(
    model: LanguageModel,
    facts: list[Fact],
    count: int = 0,
    prefixed: bool = False,
    protocol: str = "corrected",
    spaced: bool = True,
) -> list[Edit]:
    return [
        Rows(model.wording, protocol, TEMPLATES, spaced).edit(fact, fact.neighbors[:count], prefixed)
        for fact in facts
    ]


def relative(found: Any, expected: Any) -> float:
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    return float((found - expected).norm() / expected.norm())

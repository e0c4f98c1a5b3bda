"""Taking a residual back through the norm after an MLP: what the norm then gives, in closed form."""

import pytest
import torch
from tiny import WIDTH, tiny_model
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm

from reedit.edit.spread.post_norm import FLOOR, before_norm
from reedit.models.language_model import LanguageModel

KEYS = torch.randn(5, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def with_gains(gains: torch.Tensor) -> LanguageModel:
    model = tiny_model("gemma3_text")
    norm = model.mlp_norm(2)
    assert isinstance(norm, Gemma3RMSNorm)
    norm.weight.data = gains - 1  # it multiplies by 1 + weight
    norm.forward = lambda v: (1 + norm.weight) * v / (v.pow(2).mean(-1, keepdim=True)).sqrt()  # in fp64
    return model


def test_without_a_norm_a_residual_is_what_it_is(llama: LanguageModel) -> None:
    change = torch.randn(5, WIDTH, dtype=torch.float64)
    assert before_norm(llama, 2, KEYS, change) is change


def test_a_small_change_arrives_but_for_what_the_norm_lets_nobody_through() -> None:
    """Equal gains g: of a change r, (1 + FLOOR^2)^-1 arrives, and nothing of what lies along v."""
    model = with_gains(torch.full((WIDTH,), 3.0, dtype=torch.float64))
    value = model.mlp_output(2)(KEYS)
    wanted = 1e-6 * torch.randn(5, WIDTH, dtype=torch.float64)
    norm = model.mlp_norm(2)
    arrived = norm(value + before_norm(model, 2, KEYS, wanted)) - norm(value)
    along = torch.nn.functional.normalize(value, dim=1)
    expected = (wanted - along * (along * wanted).sum(1, keepdim=True)) / (1 + FLOOR**2)
    assert torch.allclose(arrived, expected, atol=1e-11)


def test_what_the_norm_hardly_lets_through_is_hardly_written() -> None:
    gains = torch.ones(WIDTH, dtype=torch.float64)
    gains[:4] = 1e-6
    model = with_gains(gains)
    found = before_norm(model, 2, KEYS, torch.ones(5, WIDTH, dtype=torch.float64))
    value = model.mlp_output(2)(KEYS)
    assert found.isfinite().all() and found.norm() < 10 * value.norm()
    along = torch.nn.functional.normalize(value, dim=1)
    plain = torch.full((5, WIDTH), 1 / (1 + FLOOR**2), dtype=torch.float64)
    plain[:, :4] = 1e-6 / (1e-12 + FLOOR**2)
    plain *= value.pow(2).mean(1, keepdim=True).sqrt()
    assert torch.allclose(found, plain - along * (along * plain).sum(1, keepdim=True), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_the_least_change_is_perpendicular_to_the_value(size: float) -> None:
    model = with_gains(torch.linspace(-2, 3, WIDTH, dtype=torch.float64))
    found = before_norm(model, 2, KEYS, size * torch.ones(5, WIDTH, dtype=torch.float64))
    value = model.mlp_output(2)(KEYS)
    assert ((found * value).sum(1).abs() < 1e-12 * found.norm() * value.norm()).all()

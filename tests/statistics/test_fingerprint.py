"""The fingerprint: a moment of this model and layer passes, one of another model or layer does not."""

import pytest
import torch
from tiny import ALL_ARCHITECTURES, tiny_corpus, tiny_model, tiny_network
from torch import Tensor

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.statistics import fingerprint
from reedit.statistics.fingerprint import Sample, check_fingerprint, resemblance
from reedit.statistics.moments import Reading, collect_moments

TEXTS = tiny_corpus().splitlines()


def moments(model: LanguageModel, texts: list[str]) -> dict[int, Tensor]:
    return dict(collect_moments(model, texts, [2, 3], Reading(40))[0])


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
def test_the_models_own_moment_passes_and_others_are_refused_with_their_numbers(architecture: str) -> None:
    model = tiny_model(architecture)
    other = LanguageModel(tiny_network(architecture, seed=1).double(), model.tokenizer)
    released = moments(model, TEXTS[:24])
    sample = moments(model, TEXTS[24:36])
    check_fingerprint("f", released[2], sample[2], 400)
    for wrong in (moments(other, TEXTS[:24])[2], released[3]):
        with pytest.raises(InputError) as caught:
            check_fingerprint("f.npz", wrong, sample[2], 400)
        assert str(caught.value).startswith("f.npz: not a moment of this model and layer: cosine ")
        assert "against 400 tokens" in str(caught.value) and "expected at least 0.2 and 0.5 to 2.0" in str(
            caught.value
        )
        assert resemblance(wrong, sample[2]).cosine < 0.15


@pytest.mark.parametrize("factor", [0.4, 2.5, 899.0, 1 / 899])
def test_a_moment_of_another_size_is_refused(factor: float, llama: LanguageModel) -> None:
    moment = moments(llama, TEXTS[:24])[2]
    with pytest.raises(InputError, match=r"cosine 1\.00, trace ratio"):
        check_fingerprint("f", factor * moment, moment, 9)


def random_moment(seed: int, size: int = 40) -> Tensor:
    keys = (
        torch.randn(60, size, generator=torch.Generator().manual_seed(seed)) * torch.arange(1, size + 1) + 3
    )
    return keys.T @ keys / 60


def test_the_cosine_is_that_of_the_matrices_without_their_two_means() -> None:
    def centred(matrix: Tensor) -> Tensor:
        matrix, off = matrix.double().clone(), ~torch.eye(len(matrix), dtype=torch.bool)
        matrix[off] -= matrix[off].mean()
        matrix[~off] -= matrix[~off].mean()
        return matrix

    one, other = random_moment(0), random_moment(1)
    expected = torch.cosine_similarity(centred(one).flatten(), centred(other).flatten(), dim=0)
    found = resemblance(one, other)
    assert found.cosine == pytest.approx(float(expected), abs=1e-5)
    assert found.trace_ratio == pytest.approx(float(one.trace() / other.trace()))


def test_what_every_order_of_the_neurons_shares_counts_for_nothing() -> None:
    moment = random_moment(0)
    shared = moment + 50 * torch.eye(40) + 20
    assert resemblance(shared, moment).cosine == pytest.approx(1, abs=1e-4)
    shuffled = []
    for seed in range(50):
        order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
        shuffled.append(resemblance(shared[order][:, order], moment).cosine)
    assert abs(sum(shuffled) / 50) < 0.05


def test_not_a_number_never_passes() -> None:
    nothing = torch.zeros(4, 4)
    with pytest.raises(InputError):
        check_fingerprint("f", nothing, nothing, 1)


def test_a_sample_ends_in_the_document_that_fills_it(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "SAMPLE_TOKENS", 50)
    lengths = [min(len(encode(llama.tokenizer, text)), 20) for text in TEXTS]
    needed = next(n for n in range(len(TEXTS)) if sum(lengths[:n]) >= 50)
    assert sum(lengths[:needed]) > 50, "the last one was meant to be cut"
    asked: list[str] = []
    texts = (asked.append(text) or text for text in TEXTS)
    sample = Sample(llama, texts, [2, 4], 20)
    assert sample.tokens == 50 and len(asked) == needed
    expected, _ = collect_moments(llama, TEXTS[:needed], [2, 4], Reading(20, tokens=50))
    for layer, moment in expected:
        assert torch.equal(sample.moment(layer), moment)

"""Teacher-forced likelihoods and greedy continuations against passes of one row."""

from itertools import pairwise, product

import pytest
import torch
from naive import log_probabilities, naive_greedy
from tiny import tiny_model

from reedit.errors import InputError
from reedit.models.batches import by_length, padded
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import covering_inputs, greedy_continuations, likelihoods
from reedit.models.tokens import LabelledRow

PROMPTS = [
    "Kyoto lies in",
    "Kyoto lies in the",
    "The old town of Rome lies in",
    "Kyoto",
    "Who",
    "Kyoto lies in",
]
TARGETS = ["Japan", "New Zealand", "piano", "Italy", "violin", "Japan"]


def rows_of(model: LanguageModel) -> list[LabelledRow]:
    """Rows among which some inputs repeat and some are the beginnings of others."""
    return [model.wording.joint(p, t, "") for p in PROMPTS for t in TARGETS]


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj"])
@pytest.mark.parametrize("budget", [1, 60, 10**6])
def test_likelihoods_are_those_of_one_row_at_a_time(architecture: str, budget: int) -> None:
    model = tiny_model(architecture)
    rows = rows_of(model)
    for row, said in zip(rows, likelihoods(model, rows, budget), strict=True):
        with torch.no_grad():
            log_p = log_probabilities(model.model, row.ids)[len(row.ids) - len(row.labels) :]
        expected = log_p.gather(1, torch.tensor(row.labels)[:, None])[:, 0].tolist()
        assert said.logp == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert said.argmax == tuple(log_p.argmax(1).tolist())
        assert said.mean_logp == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_likelihoods_of_nothing_are_nothing(llama: LanguageModel) -> None:
    assert likelihoods(llama, []) == []
    assert greedy_continuations(llama, [], []) == []


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj"])
def test_a_text_longer_than_the_model_reads_is_one_line(architecture: str) -> None:
    """Learned positions would end in an IndexError, rotary ones in numbers that mean nothing."""
    model = tiny_model(architecture)
    longest = (5,) * 256
    assert len(likelihoods(model, [LabelledRow(longest, (5,))])) == 1
    for row in (LabelledRow((*longest, 5), (5,)), LabelledRow(longest, (5,), shift=1)):
        with pytest.raises(InputError, match=r"a text of 257 tokens.*expected at most the model's 256"):
            likelihoods(model, [row])


def test_the_report_ends_with_the_number_of_rows(llama: LanguageModel) -> None:
    reported: list[int] = []
    rows = rows_of(llama)
    likelihoods(llama, rows, 50, reported.append)
    assert reported == sorted(reported) and reported[-1] == len(rows) and len(reported) > 1


def test_every_input_is_covered_by_one_that_begins_with_it_and_no_more_are_read() -> None:
    inputs = [(1,), (1, 2), (1, 3), (1, 2, 9), (2,), (1, 2), (1, 30), (), (2, 1)]
    longest, cover = covering_inputs(inputs)
    assert sorted(longest) == [(1, 2, 9), (1, 3), (1, 30), (2, 1)]
    for ids, place in zip(inputs, cover, strict=True):
        assert longest[place][: len(ids)] == ids


@pytest.mark.parametrize("budget", [20, 10**6])
def test_greedy_continuations_are_those_of_a_plain_loop(budget: int, llama: LanguageModel) -> None:
    prompts = [llama.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    lengths = [3, 1, 4, 0, 5, 2]
    found = greedy_continuations(llama, prompts, lengths, budget)
    expected = [naive_greedy(llama.model, ids, n) for ids, n in zip(prompts, lengths, strict=True)]
    assert [list(ids) for ids in found] == expected


@pytest.mark.parametrize("budget", [1, 7, 30, 1000])
def test_batches_hold_every_row_once_within_the_budget(budget: int) -> None:
    lengths = [3, 9, 1, 1, 4, 30, 9, 2, 16, 8]
    batches = by_length(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(10))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
    longest = [max(lengths[index] for index in batch) for batch in batches]
    assert longest == sorted(longest, reverse=True)


def test_no_way_to_cut_rows_into_batches_costs_less() -> None:
    """Against all ways to cut ten rows, by their padded positions and a constant a batch."""
    lengths, budget, overhead = [9, 9, 8, 5, 5, 5, 4, 2, 2, 1], 30, 6

    def cost(batches: list[list[int]]) -> int:
        return sum(len(batch) * max(lengths[i] for i in batch) + overhead for batch in batches)

    ways = []
    for cuts in product([False, True], repeat=9):
        edges = [0, *(i + 1 for i, cut in enumerate(cuts) if cut), 10]
        batches = [list(range(a, b)) for a, b in pairwise(edges)]
        if all(len(batch) * lengths[batch[0]] <= budget for batch in batches):
            ways.append(cost(batches))
    assert cost(by_length(lengths, budget, overhead)) == min(ways)


def test_padding_is_on_the_right_and_masked() -> None:
    ids, mask = padded([(5, 6, 7), (8,)], 0, torch.device("cpu"))
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]

"""Starts that rows share: which are chosen, and that rows behind them say what they say by themselves."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiers import long_but
from tiny import ALL_ARCHITECTURES, FURTHER_ARCHITECTURES, tiny_model

from reedit.models import starts
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.models.starts import Starts, shared_starts
from reedit.models.tokens import LabelledRow

ARCHITECTURES = long_but(
    [*ALL_ARCHITECTURES, *FURTHER_ARCHITECTURES], lambda name: name in ("llama", "gpt2", "gemma3_text")
)
ROWS = st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=12), max_size=12)


def test_a_prefix_that_many_rows_have_is_their_start_and_others_have_none() -> None:
    prefix = tuple(range(10))
    rows = [(*prefix, 20 + i, 3) for i in range(4)] + [(50 + i, 7, 8) for i in range(4)]
    assert shared_starts(rows, [len(row) for row in rows]) == [10] * 4 + [0] * 4


def test_a_longer_start_within_a_shorter_one_is_taken_where_it_saves_more() -> None:
    short, long = (1, 2, 3, 4), (1, 2, 3, 4, *range(30, 50))
    rows = [(*short, 90 + i) for i in range(6)] + [(*long, 80 + i) for i in range(3)]
    random.Random(0).shuffle(rows)
    found = shared_starts(rows, [len(row) for row in rows])
    assert found == [24 if row[4] == 30 else 4 for row in rows]
    few = [row for row in rows if row[4] != 30][:2] + [row for row in rows if row[4] == 30]
    assert set(shared_starts(few, [len(row) for row in few])) == {0, 24}  # two rows of four: not worth it


def test_a_start_ends_where_a_row_needs_its_own_positions() -> None:
    rows = [(*range(20), i) for i in range(40, 44)]
    assert shared_starts(rows, [20, 20, 9, 20]) in ([20, 20, 0, 20], [9, 9, 9, 9])
    assert shared_starts(rows, [0] * 4) == [0] * 4


def test_what_is_held_stays_within_its_limit() -> None:
    rows = [(family, *range(20), i) for family in range(100, 140) for i in range(5)]
    every = [len(row) for row in rows]
    assert set(shared_starts(rows, every, at_most=10**6)) == {21}
    assert sum(len(set(rows[i][:n])) for i, n in enumerate(shared_starts(rows, every, at_most=100))) == 0
    assert shared_starts([*rows, *((1, 2, *row) for row in rows[:100])], [*every, *[2] * 100], 2)[-1] == 2


@given(ROWS, st.data())
def test_starts_are_beginnings_that_several_rows_have(rows: list[list[int]], data: st.DataObject) -> None:
    most = [data.draw(st.integers(0, len(row))) for row in rows]
    limit = data.draw(st.integers(0, 20))
    found = shared_starts(rows, most, limit)
    heads = [tuple(row[:n]) for row, n in zip(rows, found, strict=True)]
    assert all(n <= bound for n, bound in zip(found, most, strict=True))
    assert sum(map(len, set(heads))) <= limit
    assert all(not head or heads.count(head) > 1 for head in heads)
    saved = sum(found) - sum(len(head) + starts.PRICE for head in set(heads) if head)
    assert saved >= 0


def rows_with_starts(model: LanguageModel) -> list[LabelledRow]:
    """Of three kinds: behind one of two prefixes of other lengths, which hold a window, and by themselves."""
    draw = random.Random(1)
    size = min(90, model.model.config.vocab_size - 1)
    words = [[draw.randrange(5, size) for _ in range(n)] for n in (12, 7)]
    rows = []
    for i in range(12):
        own = [draw.randrange(5, size) for _ in range(2 + i % 5)]
        ids = (*(words[i % 3] if i % 3 < 2 else []), *own)
        rows.append(LabelledRow(tuple(ids), tuple(own[-1:] * (1 + i % 2)), len(ids) - 1))
    return rows


@pytest.mark.parametrize("budget", [20, 10**6])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_behind_starts_say_what_they_say_alone(architecture: str, budget: int) -> None:
    model = tiny_model(architecture)
    rows = rows_with_starts(model)
    found = Starts.of(model, [row.ids for row in rows], [row.predicted_from for row in rows])
    assert set(found.lengths) == ({0, 7, 12} if model.can_cut(-1) else {0})
    for row, said in zip(rows, likelihoods(model, rows, budget), strict=True):
        (alone,) = likelihoods(model, [row])
        assert said.logp == pytest.approx(alone.logp, rel=1e-5, abs=1e-5)


def test_a_start_is_read_once(llama: LanguageModel) -> None:
    rows, positions = rows_with_starts(llama), []
    with llama.layers[0].register_forward_hook(
        lambda _, args, out: positions.append(args[0][..., 0].numel())
    ):
        likelihoods(llama, rows, 10**6)
    assert positions[:1] == [24]  # two starts, of which the shorter one is filled up
    assert sum(positions) < sum(len(row.ids) for row in rows)


def test_a_model_that_remembers_more_than_keys_shares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    monkeypatch.setattr(LanguageModel, "can_cut", lambda self, layer: False)
    assert set(Starts.of(model, [(1,) * 20, (1,) * 20], [20, 20]).lengths) == {0}

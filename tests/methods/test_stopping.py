"""The stopping rules: which k is kept, and when there is none to keep."""

import math

import pytest

from reedit.errors import InputError
from reedit.methods.stopping import choose, met

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("rule", "delta_p", "delta_p2", "kept"),
    [
        ("none", [0.1, 0.1], [0.1, 0.1], None),
        ("proposed", [11359.6, 3.0, 1.0, 0.2], [], 3),
        ("proposed", [0.5], [9.0], 1),
        ("proposed", [5.0, 2.0], [0.0, 0.0], None),
        ("proposed", [NAN, INF, 0.9], [], 3),
        ("proposed", [NAN, INF], [], None),
        ("monotonic", [0.1], [], None),
        ("monotonic", [5.0, 3.0, 2.0], [], None),
        ("monotonic", [5.0, 3.0, 4.0, 1.0], [], 2),
        ("monotonic", [5.0, 5.0], [], 1),
        ("monotonic", [5.0, NAN], [], 1),
        ("monotonic", [5.0, 3.0, INF], [], 2),
        ("monotonic", [INF, 3.0, 2.0], [], None),
        ("small_change", [9.0, 9.0, 9.0], [50.0, 0.9, 0.1], 2),
        ("small_change", [0.0], [NAN], None),
        ("proposed", [None, None], [0.1, 0.1], None),  # not measured
        ("monotonic", [None, None, None], [], None),
        ("small_change", [None, None], [9.0, 0.5], 2),
        ("proposed", [None, 0.5], [], 2),
        ("monotonic", [5.0, 3.0, None, 4.0], [], None),
        ("small_change", [], [None, 0.5], 2),
        ("small_change", [], [], None),
    ],
)
def test_a_rule_keeps_the_k_the_paper_defines(rule, delta_p, delta_p2, kept):
    assert met(rule, delta_p, delta_p2) == kept


def test_the_criterion_is_one_of_perplexity():
    assert met("proposed", [3.0, 1.001, 1.0], []) == 3


def test_where_no_criterion_is_met_the_last_k_is_shown():
    assert choose("proposed", [9.0, 5.0, 3.0], []) == (3, False)
    assert choose("none", [0.1, 0.1], []) == (2, False)
    assert choose("proposed", [9.0, 0.5, 3.0], []) == (2, True)


def test_an_unknown_rule_or_nothing_to_choose_from_is_an_input_error():
    with pytest.raises(InputError, match="unknown rule 'sometimes'"):
        met("sometimes", [], [])
    with pytest.raises(InputError, match="no iteration"):
        choose("proposed", [], [])

"""The figures: written, repeatable, and indifferent to infinity, single trials and odd names."""

import math

import matplotlib
import pytest
from made_runs import experiment

from reedit import figures
from reedit.errors import InputError

DRAWN = (figures.perplexity, figures.scores)


@pytest.mark.parametrize("draw", DRAWN)
def test_a_figure_is_the_same_bytes_each_time(tmp_path, draw):
    methods = [
        {"method": method, "trial": trial, "delta_p": [100.0, 2.0, 0.5], "algorithm": "memit"}
        for method in ("memit", "na_memit")
        for trial in (1, 2)
    ]
    runs, _ = experiment(tmp_path, methods, cases=4)
    settings = dict(matplotlib.rcParams)
    for name in ("a", "b"):
        draw(runs, tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    for kind, magic in (("pdf", b"%PDF"), ("png", b"\x89PNG")):
        first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in ("a", "b"))
        assert first == second and first.startswith(magic)
    assert dict(matplotlib.rcParams) == settings  # nothing global is left behind


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("draw", DRAWN)
def test_a_collapsed_model_and_an_odd_name_are_drawn(tmp_path, draw):
    methods = [
        {"method": "ro$me", "model": "$x_{", "algorithm": "rome", "delta_p": [5.0, math.inf, math.nan]},
        {"method": "memit", "dataset": "a", "delta_p": [math.inf]},
        {"method": "memit", "dataset": "b", "delta_p": [0.5]},
        {"method": "memit", "dataset": "c", "delta_p": [0.5]},
    ]
    runs, _ = experiment(tmp_path, methods, cases=4)
    draw(runs, tmp_path / "f.pdf", tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 0


@pytest.mark.parametrize("draw", DRAWN)
def test_no_runs_are_an_input_error(tmp_path, draw):
    with pytest.raises(InputError, match="no run to draw"):
        draw([], tmp_path / "f.pdf", tmp_path / "f.png")

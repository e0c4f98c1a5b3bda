"""The figures: written, repeatable, readable in grey, indifferent to infinity, single trials, odd names."""

import math

import matplotlib
import pyarrow as pa
import pytest
from made_runs import case_table, experiment
from matplotlib.figure import Figure
from tiers import long_but

from reedit.errors import InputError
from reedit.prepare.facts import NO_ANSWER
from reedit.report.figures import drawing
from reedit.report.figures.courses import perplexity, scores
from reedit.report.figures.distribution import FEW, distribution
from reedit.report.figures.drawing import save
from reedit.report.figures.example import BOX_COX, EDITED, box_cox_axis, example
from reedit.report.figures.tradeoff import tradeoff
from reedit.report.figures.underedit import underedit
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES, SCHEMAS


def example_course(runs, cases):
    """Rows of schema "example" without a choice: the first case of the first run."""
    fact = {"prompt": "Subject $1 was born in 中文", "target_new": "Rome", "target_true": "Paris"}
    rows = [row for row in cases.to_pylist() if row["k"] > 0]
    first = [row for row in rows if row["method"] == rows[0]["method"] and row["model"] == rows[0]["model"]]
    first = [row for row in first if (row["case_id"], row["trial"]) == (0, 1)]
    return [{name: (fact | row)[name] for name in SCHEMAS["example"].names} for row in first]


DRAWN = {
    "perplexity": lambda runs, cases, labels: perplexity(runs, labels),
    "scores": lambda runs, cases, labels: scores(runs, labels),
    "example": lambda runs, cases, labels: example(example_course(runs, cases), labels),
    "underedit": underedit,
    "tradeoff": lambda runs, cases, labels: tradeoff(runs, cases, 0, labels),
    "distribution": distribution,
}


def drawn(name, runs, cases, labels=None):
    """The figure `name` of these runs, laid out."""
    figure = DRAWN[name](runs, cases, labels or {})
    figure.draw_without_rendering()
    return figure


def saved(figure, folder, stem="figure"):
    """Its files."""
    paths = folder / f"{stem}.pdf", folder / f"{stem}.png"
    save(figure, *paths)
    return paths


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """One model: two trials of a plain and an assisted method, eight edits each."""
    methods = [
        {"method": method, "trial": trial, "delta_p": [100.0, 2.0, 0.5], "assisted": "na" in method}
        for method in ("memit", "na_memit")
        for trial in (1, 2)
    ]
    runs, paths = experiment(tmp_path_factory.mktemp("few"), methods, cases=8)
    return runs, case_table(runs, paths)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Three models, one of them collapsed, with an odd name; more edits than are drawn one by one."""
    methods = [
        {"method": method, "model": model, "delta_p": deltas, "assisted": "na" in method}
        for model, deltas in {
            "$x_{": [5.0, math.inf, math.nan],
            "b": [math.inf],
            "c": [9.0, 0.5],
        }.items()
        for method in ("ro$me", "memit", "na_memit")
    ]
    for method in methods:
        method["algorithm"] = "memit"
    runs, paths = experiment(tmp_path_factory.mktemp("many"), methods, cases=FEW + 1)
    return runs, case_table(runs, paths)


@pytest.fixture(scope="module")
def six(tmp_path_factory):
    """Three models on two datasets, with and without assistance."""
    methods = [
        {
            "method": method,
            "model": model,
            "dataset": dataset,
            "delta_p": [9.0, 0.5],
            "assisted": "na" in method,
        }
        for model in ("gpt2-xl", "gpt-j-6b", "llama-2-7b")
        for dataset in ("counterfact", "zsre")
        for method in ("memit", "na_memit")
    ]
    runs, paths = experiment(tmp_path_factory.mktemp("six"), methods, cases=3)
    return runs, case_table(runs, paths)


@pytest.mark.parametrize("name", long_but(DRAWN, ("perplexity", "example").__contains__))
def test_a_figure_is_the_same_bytes_each_time(tmp_path, few, name):
    settings = dict(matplotlib.rcParams)
    first, second = (saved(drawn(name, *few), tmp_path, stem) for stem in ("a", "b"))
    for one, other, magic in zip(first, second, (b"%PDF", b"\x89PNG"), strict=True):
        assert one.read_bytes() == other.read_bytes() and one.read_bytes().startswith(magic)
    assert dict(matplotlib.rcParams) == settings  # nothing global is left behind


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWN)
def test_three_models_a_collapsed_one_and_an_odd_name_are_drawn(tmp_path, many, name):
    for path in saved(drawn(name, *many), tmp_path):
        assert path.stat().st_size > 0


@pytest.mark.filterwarnings("error")  # matplotlib warns where panels have no room
@pytest.mark.parametrize("name", DRAWN)
def test_six_pairs_of_model_and_dataset_have_room(six, name):
    figure = drawn(name, *six)
    width, height = figure.get_size_inches()
    assert width <= 16 and height <= 9  # no less than 6 pt on the page
    panels = {panel.get_title() or panel.get_title(loc="left") for panel in figure.axes}
    assert name == "example" or len([title for title in panels if title]) >= 6


@pytest.mark.parametrize("draw", [perplexity, scores])
def test_no_runs_are_an_input_error(draw):
    with pytest.raises(InputError, match="no run to draw"):
        draw([], {})


@pytest.mark.parametrize("name", ["example", "underedit", "tradeoff", "distribution"])
def test_a_figure_without_runs_is_a_sentence(tmp_path, name):
    figure = drawn(name, [], SCHEMAS["cases"].empty_table())
    assert [text.get_text()[:16] for text in figure.texts] == ["This experiment "]
    pdf, png = saved(figure, tmp_path)
    assert pdf.read_bytes().startswith(b"%PDF") and png.stat().st_size > 0


def test_methods_differ_without_color():
    looks = [drawing.look(number, dashed=True) for number in range(8)]
    assert len({look["marker"] for look in looks}) == len(looks)
    assert len({look["linestyle"] for look in looks[:4]}) == 4
    many = [drawing.look(number) for number in range(64)]
    assert len({(look["color"], look["marker"]) for look in many}) == 64
    for one, other in zip(looks, [drawing.look(number, dashed=True) for number in range(8, 16)], strict=True):
        assert one["color"] == other["color"]
        assert one["linestyle"] != other["linestyle"] and one["marker"] != other["marker"]


def test_labels_name_models_datasets_and_methods(few):
    labels = {"smollm2-135m": "SmolLM2", "worldfacts": "World facts", "memit": "plain"}
    for name in DRAWN:
        words = " ".join(text.get_text() for text in drawn(name, *few, labels).findobj(matplotlib.text.Text))
        assert "SmolLM2" in words and "World facts" in words and "smollm2-135m" not in words


# -- the example --------------------------------------------------------------------------------------------


def test_an_example_without_an_old_answer_names_the_new_one_alone(few):
    runs, cases = few
    course = [row | {"target_true": NO_ANSWER} for row in example_course(runs, cases)]
    (panel,) = example(course, {}).axes
    assert "— is to become Rome" in panel.get_title(loc="left")


def test_the_example_goes_up_and_down_and_names_its_case(few):
    runs, cases = few
    course = example_course(runs, cases)
    (panel,) = drawn("example", runs, cases).axes
    title = panel.get_title(loc="left")
    assert "MEMIT, smollm2-135m / worldfacts" in title
    assert "“Subject $1 was born in □□” — Paris is to become Rome" in title  # no glyph, no surprise
    steps = [list(line.get_ydata()) for line in panel.lines if len(line.get_xdata()) == 2][:6]
    down, up = steps[:3], steps[3:]
    assert up == [[row["ppl_target"], row["ppl_edited"]] for row in course]
    assert [end for _, end in down] == [row["ppl_target"] for row in course]
    assert [start for start, _ in down] == [course[0]["ppl_initial"], *(r["ppl_edited"] for r in course[:-1])]


@pytest.mark.parametrize(
    ("accuracy", "word"), [(1.0, ": predicted"), (0.5, ": not predicted yet"), (None, ": not scored")]
)
def test_the_example_tells_whether_the_new_object_is_predicted(few, accuracy, word):
    course = [row | {"efficacy_accuracy": accuracy} for row in example_course(*few)]
    words = [text.get_text() for text in example(course, {}).legends[0].get_texts()]
    assert [text for text in words if text.startswith("edited")] == [EDITED + word[2:]]


@pytest.mark.parametrize("length", [4, 20, 45])
def test_a_legend_stays_within_its_figure_however_long_the_names_are(length: int) -> None:
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    figure.subplots()
    drawing.legend(figure, [(f"{number}{'M' * length}", drawing.look(number)) for number in range(7)])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == 7
    assert legend.get_window_extent().x0 >= 0 and legend.get_window_extent().x1 <= figure.bbox.x1


def test_the_axis_is_box_cox_and_its_ticks_are_apart():
    panel = Figure().subplots()
    box_cox_axis(panel, 5000.0)
    transform = panel.yaxis.get_transform().transform
    ticks = panel.get_yticks()
    assert transform(ticks) == pytest.approx([(tick**BOX_COX - 1) / BOX_COX for tick in ticks])
    assert ticks[0] == 1 and len(ticks) > 5 and max(ticks) <= panel.get_ylim()[1]
    gaps = [b - a for a, b in zip(transform(ticks)[:-1], transform(ticks)[1:], strict=True)]
    assert min(gaps) > 0.05 * float(transform(5000.0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("top", [1.0, 1.001, 3.0, 1e15, 1e300])
def test_the_axis_holds_any_perplexity(top):
    panel = Figure().subplots()
    box_cox_axis(panel, top)
    low, high = panel.get_ylim()
    assert 0 < low < 1 and top < high < math.inf and panel.get_yticks()[0] == 1


# -- figures of all cases -----------------------------------------------------------------------------------


def test_under_edit_lines_are_the_means_of_those_cases(few):
    runs, cases = few
    accuracy, gap = drawn("underedit", runs, cases).axes
    frame = cases.to_pandas()
    frame = frame[(frame["method"] == "memit") & (frame["k"] >= 1)]
    for line, part in zip(gap.lines[:2], (frame, frame[frame["under_edit"].eq(True)]), strict=True):
        means = part.groupby(["k", "trial"])[["ppl_edited", "ppl_target"]].mean()
        expected = (means["ppl_edited"] - means["ppl_target"]).abs().groupby("k").mean()
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == pytest.approx(expected.tolist())
    solid, dashed = accuracy.lines[:2]
    assert solid.get_linestyle() != dashed.get_linestyle()
    failed = frame[(frame["k"] == 1) & frame["under_edit"].eq(True)]
    assert f"UnderEdit: MEMIT\xa0{len(failed)}/16" in accuracy.get_title()


def test_points_of_the_tradeoff_are_the_methods_at_their_selected_k(few):
    runs, cases = few
    (panel,) = drawn("tradeoff", runs, cases).axes
    frame = cases.to_pandas()
    places = [container.lines[0].get_xydata()[0] for container in panel.containers]
    for place, method in zip(places, ("memit", "na_memit"), strict=True):
        selected = frame[(frame["method"] == method) & (frame["k"] == 3)]
        means = selected.groupby("trial")[["generalization_accuracy", "specificity_accuracy"]].mean().mean()
        assert list(place) == pytest.approx(means.tolist())
    assert [text.get_text() for text in panel.texts if text.get_text()] == ["k=3", "k=3"]


def test_boxes_hold_the_quartiles_and_few_edits_are_dots(few, many):
    runs, cases = few
    panel = drawn("distribution", runs, cases).axes[0]
    first = cases.to_pandas().query("method == 'memit' and k == 1")
    box = panel.patches[0].get_path().vertices[:, 1]
    values = first["ppl_target"].sort_values().tolist()
    assert (box.min(), box.max()) == pytest.approx((values[3], values[11]))  # of 16
    dots = [line for line in panel.lines if line.get_marker() == "."]
    assert len(dots) == 2 * 3 and all(len(line.get_xdata()) == 16 for line in dots)
    figure = drawn("distribution", *many)
    assert not [line for panel in figure.axes for line in panel.lines if line.get_marker() == "."]
    told = {text.get_text() for text in figure.axes[0].texts}
    assert told == {f"{FEW + 1} × ∞"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWN)
def test_runs_that_kept_only_their_last_weights_are_drawn(tmp_path, name):
    methods = [{"method": m, "delta_p": [9.0, 0.5], "assisted": "na" in m} for m in ("memit", "na_memit")]
    runs, paths = experiment(tmp_path, methods, cases=4)
    for path in paths.values():
        parquet.write([row for row in parquet.read(path, "scores") if row["k"] != 1], path, "scores", {})
    cases = case_table(runs, paths)
    runs = [row | dict.fromkeys(MEASURES) if row["k"] == 1 else row for row in runs]
    figure = drawn(name, runs, cases)
    if name == "underedit":  # nobody knows which cases those are
        assert "UnderEdit: MEMIT\xa00/4" not in figure.axes[0].get_title()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["underedit", "distribution"])
def test_a_perplexity_that_was_not_measured_is_not_drawn(few, name):
    runs, cases = few
    nothing = pa.nulls(len(cases), pa.float64())
    cases = cases.set_column(cases.schema.get_field_index("ppl_target"), "ppl_target", nothing)
    panels = drawn(name, runs, cases).axes
    if name == "underedit":
        assert [len(line.get_xdata()) for line in panels[0].lines[:2]] == [3, 3]  # the accuracies are there
        assert [len(line.get_xdata()) for line in panels[1].lines[:2]] == [0, 0]
    else:
        assert len(panels[0].patches) == 3 and not panels[0].texts  # boxes of the edited model alone

"""The figures: written, repeatable, readable in grey, indifferent to infinity, single trials, odd names."""

import math

import matplotlib
import pyarrow as pa
import pytest
from made_runs import case_table, experiment
from matplotlib.figure import Figure

from reedit.errors import InputError
from reedit.prepare.zsre import NO_ANSWER
from reedit.report.figures import courses as figures
from reedit.report.figures import drawing
from reedit.report.figures import example as example_figure
from reedit.report.figures import tradeoff as tradeoff_figure
from reedit.report.figures import underedit as case_figures
from reedit.report.figures.example import BOX_COX, box_cox_axis
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
    "perplexity": lambda runs, cases: (figures.perplexity, [runs]),
    "scores": lambda runs, cases: (figures.scores, [runs]),
    "example": lambda runs, cases: (example_figure.example, [example_course(runs, cases)]),
    "underedit": lambda runs, cases: (case_figures.underedit, [runs, cases]),
    "tradeoff": lambda runs, cases: (tradeoff_figure.tradeoff, [runs, cases, 0]),
    "distribution": lambda runs, cases: (case_figures.distribution, [runs, cases]),
}


def drawn(name, runs, cases, folder, stem="figure", labels=None):
    """The files of the figure `name` of these runs."""
    draw, data = DRAWN[name](runs, cases)
    draw(*data, folder / f"{stem}.pdf", folder / f"{stem}.png", labels)
    return folder / f"{stem}.pdf", folder / f"{stem}.png"


@pytest.fixture
def shown(monkeypatch):
    """The figures that are saved, as they are just before."""
    found = []

    def keep(figure, pdf, png):
        figure.draw_without_rendering()
        found.append(figure)

    for module in (figures, example_figure, case_figures, tradeoff_figure):
        monkeypatch.setattr(module, "save", keep)
    return found


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
    runs, paths = experiment(tmp_path_factory.mktemp("many"), methods, cases=case_figures.FEW + 1)
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


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_the_same_bytes_each_time(tmp_path, few, name):
    settings = dict(matplotlib.rcParams)
    first, second = (drawn(name, *few, tmp_path, stem) for stem in ("a", "b"))
    for one, other, magic in zip(first, second, (b"%PDF", b"\x89PNG"), strict=True):
        assert one.read_bytes() == other.read_bytes() and one.read_bytes().startswith(magic)
    assert dict(matplotlib.rcParams) == settings  # nothing global is left behind


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWN)
def test_three_models_a_collapsed_one_and_an_odd_name_are_drawn(tmp_path, many, name):
    for path in drawn(name, *many, tmp_path):
        assert path.stat().st_size > 0


@pytest.mark.filterwarnings("error")  # matplotlib warns where panels have no room
@pytest.mark.parametrize("name", DRAWN)
def test_six_pairs_of_model_and_dataset_have_room(shown, six, tmp_path, name):
    drawn(name, *six, tmp_path)
    width, height = shown[0].get_size_inches()
    assert width <= 16 and height <= 9  # no less than 6 pt on the page
    panels = {panel.get_title() or panel.get_title(loc="left") for panel in shown[0].axes}
    assert name == "example" or len([title for title in panels if title]) >= 6


@pytest.mark.parametrize("name", ["perplexity", "scores"])
def test_no_runs_are_an_input_error(tmp_path, name):
    with pytest.raises(InputError, match="no run to draw"):
        getattr(figures, name)([], tmp_path / "f.pdf", tmp_path / "f.png")


@pytest.mark.parametrize("name", ["example", "underedit", "tradeoff", "distribution"])
def test_a_figure_without_runs_is_a_sentence(tmp_path, name):
    pdf, png = drawn(name, [], SCHEMAS["cases"].empty_table(), tmp_path)
    assert pdf.read_bytes().startswith(b"%PDF") and png.stat().st_size > 0


def test_methods_differ_without_color():
    looks = [drawing.look(number, dashed=True) for number in range(8)]
    assert len({look["marker"] for look in looks}) == len(looks)
    assert len({look["linestyle"] for look in looks[:4]}) == 4
    many = [drawing.look(number) for number in range(64)]
    assert len({(look["color"], look["marker"]) for look in many}) == 64


def test_labels_name_models_datasets_and_methods(shown, few, tmp_path):
    labels = {"smollm2-135m": "SmolLM2", "worldfacts": "World facts", "memit": "plain"}
    for name in DRAWN:
        drawn(name, *few, tmp_path, labels=labels)
    for figure in shown:
        words = " ".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
        assert "SmolLM2" in words and "World facts" in words and "smollm2-135m" not in words


# -- the example --------------------------------------------------------------------------------------------


def test_an_example_without_an_old_answer_names_the_new_one_alone(shown, few, tmp_path):
    runs, cases = few
    course = [row | {"target_true": NO_ANSWER} for row in example_course(runs, cases)]
    example_figure.example(course, tmp_path / "f.pdf", tmp_path / "f.png")
    (panel,) = shown[0].axes
    assert "— is to become Rome" in panel.get_title(loc="left")


def test_the_example_goes_up_and_down_and_names_its_case(shown, few, tmp_path):
    runs, cases = few
    course = example_course(runs, cases)
    drawn("example", runs, cases, tmp_path)
    (panel,) = shown[0].axes
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
def test_the_example_tells_whether_the_new_object_is_predicted(shown, few, tmp_path, accuracy, word):
    course = [row | {"efficacy_accuracy": accuracy} for row in example_course(*few)]
    example_figure.example(course, tmp_path / "f.pdf", tmp_path / "f.png")
    words = [text.get_text() for text in shown[0].legends[0].get_texts()]
    assert [text for text in words if text.startswith("edited")] == [example_figure.EDITED + word[2:]]


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


def test_under_edit_lines_are_the_means_of_those_cases(shown, few, tmp_path):
    runs, cases = few
    drawn("underedit", runs, cases, tmp_path)
    accuracy, gap = shown[0].axes
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


def test_points_of_the_tradeoff_are_the_methods_at_their_selected_k(shown, few, tmp_path):
    runs, cases = few
    drawn("tradeoff", runs, cases, tmp_path)
    (panel,) = shown[0].axes
    frame = cases.to_pandas()
    places = [container.lines[0].get_xydata()[0] for container in panel.containers]
    for place, method in zip(places, ("memit", "na_memit"), strict=True):
        selected = frame[(frame["method"] == method) & (frame["k"] == 3)]
        means = selected.groupby("trial")[["generalization_accuracy", "specificity_accuracy"]].mean().mean()
        assert list(place) == pytest.approx(means.tolist())
    assert [text.get_text() for text in panel.texts if text.get_text()] == ["k=3", "k=3"]


def test_boxes_hold_the_quartiles_and_few_edits_are_dots(shown, few, many, tmp_path):
    runs, cases = few
    drawn("distribution", runs, cases, tmp_path)
    panel = shown[0].axes[0]
    first = cases.to_pandas().query("method == 'memit' and k == 1")
    box = panel.patches[0].get_path().vertices[:, 1]
    values = first["ppl_target"].sort_values().tolist()
    assert (box.min(), box.max()) == pytest.approx((values[3], values[11]))  # of 16
    dots = [line for line in panel.lines if line.get_marker() == "."]
    assert len(dots) == 2 * 3 and all(len(line.get_xdata()) == 16 for line in dots)
    drawn("distribution", *many, tmp_path)
    assert not [line for panel in shown[1].axes for line in panel.lines if line.get_marker() == "."]
    told = {text.get_text() for text in shown[1].axes[0].texts}
    assert told == {f"{case_figures.FEW + 1} × ∞"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWN)
def test_runs_that_kept_only_their_last_weights_are_drawn(shown, tmp_path, name):
    methods = [{"method": m, "delta_p": [9.0, 0.5], "assisted": "na" in m} for m in ("memit", "na_memit")]
    runs, paths = experiment(tmp_path, methods, cases=4)
    for path in paths.values():
        parquet.write([row for row in parquet.read(path, "scores") if row["k"] != 1], path, "scores", {})
    cases = case_table(runs, paths)
    runs = [row | dict.fromkeys(MEASURES) if row["k"] == 1 else row for row in runs]
    drawn(name, runs, cases, tmp_path)
    if name == "underedit":  # nobody knows which cases those are
        assert "UnderEdit: MEMIT\xa00/4" not in shown[0].axes[0].get_title()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["underedit", "distribution"])
def test_a_perplexity_that_was_not_measured_is_not_drawn(shown, few, tmp_path, name):
    runs, cases = few
    nothing = pa.nulls(len(cases), pa.float64())
    cases = cases.set_column(cases.schema.get_field_index("ppl_target"), "ppl_target", nothing)
    drawn(name, runs, cases, tmp_path)
    panels = shown[0].axes
    if name == "underedit":
        assert [len(line.get_xdata()) for line in panels[0].lines[:2]] == [3, 3]  # the accuracies are there
        assert [len(line.get_xdata()) for line in panels[1].lines[:2]] == [0, 0]
    else:
        assert len(panels[0].patches) == 3 and not panels[0].texts  # boxes of the edited model alone

"""Sequential editing along the way: by hand, in print, as a figure."""

import csv
import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_runs import ITERATION, score, told
from printed_tables import printed

from reedit.errors import InputError
from reedit.report.figures.along import along as draw_along
from reedit.report.rows.along import AlongFiles, along_rows
from reedit.report.rows.runs import run_rows
from reedit.report.tables.along import ALONG
from reedit.storage import parquet
from reedit.storage.schemas import TOLD

RUN = {"entry": 0, "model": "tiny", "dataset": "facts", "method": "memit_seq", "trial": 1}
RUN |= {"format": "counterfact", "algorithm": "memit+batch2", "assisted": False, "prefixed": False}
RUN |= {"protocol": "corrected"}
# state -> accuracy of the efficacy of cases 0, 1, ... that are edited by then, and ME-PPL
STATES = {
    (0, None): ([0.0, 0.0, 0.0, 0.5], 20.0),
    (1, 2): ([1.0, 0.5], 21.0),
    (1, None): ([0.5, 0.0, 1.0, 1.0], 30.0),
}


def files(folder: Path, states: dict, trial: int = 1) -> tuple[list, AlongFiles]:
    """The rows of "runs" of a trial with these states, and its files."""
    scores, texts = [], []
    for (k, after), (accuracies, ppl) in states.items():
        for case, accuracy in enumerate(accuracies):
            for metric in ("efficacy", "generalization", "specificity"):
                value = 1.0 if k == 0 and metric == "specificity" else accuracy
                scores.append(score(k, case, metric, value, 1.0) | {"after": after})
        texts += [{"k": k, "text": "t", "ppl": ppl, "ppl_released": 1.0, "after": after}]
    paths = {name: folder / f"{trial}/{name}.parquet" for name in ("scores", "collapse", "iterations")}
    for rows, name in ((scores, "scores"), (texts, "collapse"), ([ITERATION | {"k": 1}], "iterations")):
        parquet.write(rows, paths[name], name, {})
    run = RUN | {"trial": trial}
    return run_rows(run, *paths.values(), 4), AlongFiles(paths["scores"], paths["collapse"], 2)


def test_rows_are_the_states_of_the_last_iteration_in_the_order_of_editing(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    rows = along_rows(runs, {("tiny", "facts", "memit_seq", 1): own}, seed=0)
    assert [(row["k"], row["after"], row["me_ppl"]) for row in rows] == [(0, 0, 20), (1, 2, 21), (1, 4, 30)]
    assert [row["every_efficacy_accuracy"] for row in rows] == [0.125, 0.75, 0.625]
    assert [row["first_efficacy_accuracy"] for row in rows] == [0.0, 0.75, 0.25]
    assert rows[0]["every_specificity_accuracy"] == 1.0
    assert rows[1]["every_efficacy_accuracy_low"] == 0.5 and rows[1]["every_efficacy_accuracy_high"] == 1.0
    assert runs[-1]["efficacy_accuracy"] == 0.625, "the other tables know of complete iterations alone"


def test_trials_are_averaged_where_all_have_a_state(tmp_path: Path) -> None:
    other = STATES | {(1, 2): ([0.0, 0.0], 23.0), (1, 3): ([1.0, 1.0, 1.0], 99.0)}
    parts = [files(tmp_path, states, trial) for trial, states in ((1, STATES), (2, other))]
    runs = [row for rows, _ in parts for row in rows]
    of = {("tiny", "facts", "memit_seq", trial): own for trial, (_, own) in enumerate(parts, start=1)}
    rows = along_rows(runs, of, seed=0)
    assert [row["after"] for row in rows] == [0, 2, 4] and {row["trials"] for row in rows} == {2}
    assert (rows[1]["every_efficacy_accuracy"], rows[1]["me_ppl"]) == (0.375, 22.0)


def test_a_method_without_checkpoints_has_no_row_and_one_without_files_is_a_line(tmp_path: Path) -> None:
    plain = {state: values for state, values in STATES.items() if state[1] is None}
    runs, own = files(tmp_path, plain)
    assert along_rows(runs, {("tiny", "facts", "memit_seq", 1): own}, seed=0) == []
    with pytest.raises(InputError, match=r"tiny/facts/memit_seq/trial1: no scores were given"):
        along_rows(runs, {}, seed=0)


def test_it_is_printed_with_intervals_where_there_is_room(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    rows = along_rows(runs, {("tiny", "facts", "memit_seq", 1): own}, seed=0)
    sheet = printed("along", rows, ["A note."], {"facts": "Facts"})
    lines = [line for line in sheet.md.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][3] == "Efficacy, all so far" and cells[0][6] == "Efficacy, the first batch"
    assert cells[3][:4] == ["", "", "2", "75.0 [50.0, 100.0]"] and cells[3][-1] == "21.00"
    assert "75.0" in sheet.tex and "[50.0" not in sheet.tex and "All so far" in sheet.tex
    assert ALONG.empty in printed("along", []).md
    raw = list(csv.DictReader(io.StringIO(sheet.csv)))
    assert raw[1]["every_efficacy_accuracy"] == "0.75" and raw[1]["after"] == "2"


def test_the_figure_has_a_panel_for_each_quantity(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    rows = along_rows(runs, {("tiny", "facts", "memit_seq", 1): own}, seed=0)
    figure = draw_along(rows, {})
    titles = [panel.get_title() for panel in figure.axes]
    assert "efficacy, first batch" in titles and titles[-1] == "ME-PPL"
    (line,) = figure.axes[0].lines
    assert list(line.get_xdata()) == [0, 2, 4] and list(line.get_ydata()) == [0.125, 0.75, 0.625]
    assert pq.read_metadata(own.scores).num_rows == 30
    assert len(figure.axes[0].collections) == 1  # the interval's band
    many = [{**row, "method": f"method {number}"} for number in range(7) for row in rows]
    panel = draw_along(many, {}).axes[0]
    assert len(panel.lines) == 7 and not panel.collections


def with_texts(folder: Path, own: AlongFiles, consistency: float | None = 0.3) -> AlongFiles:
    """The same files, and texts of each state: fluency falls by the edits that are written."""
    rows = [
        told(k, case, 6.0 - case - (after or 4) * k, consistency and consistency + case / 10, after)
        for (k, after), (accuracies, _) in STATES.items()
        for case in range(len(accuracies))
    ]
    parquet.write(rows, folder / "texts.parquet", "texts", {})
    return own._replace(texts=folder / "texts.parquet")


def test_fluency_is_of_the_cases_that_are_edited_by_then_where_it_was_asked_for(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    key = ("tiny", "facts", "memit_seq", 1)
    plain = along_rows(runs, {key: own}, seed=0)
    assert {
        row[f"{name}{end}"] for row in plain for name in ("fluency", "consistency") for end in ("", "_low")
    } == {None}
    rows = along_rows(runs, {key: with_texts(tmp_path, own)}, seed=0)
    assert [row["fluency"] for row in rows] == [4.5, 3.5, 0.5]
    assert [row["consistency"] for row in rows] == pytest.approx([0.45, 0.35, 0.45])
    assert (rows[1]["fluency_low"], rows[1]["fluency_high"]) == (3.0, 4.0)
    rest = [{name: value for name, value in row.items() if name.split("_")[0] not in TOLD} for row in rows]
    assert rest == [{name: row[name] for name in rest[0]} for row in plain]
    parquet.write(rows, tmp_path / "along.parquet", "along", {})


def test_fluency_has_its_columns_and_panels_as_far_as_it_was_measured(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    key, heads, titles = ("tiny", "facts", "memit_seq", 1), [], []
    without, with_both = (
        with_texts(tmp_path / name, own, value) for name, value in (("a", None), ("b", 0.3))
    )
    for given in (own, without, with_both):
        rows = along_rows(runs, {key: given}, seed=0)
        lines = [line for line in printed("along", rows).md.splitlines() if line.startswith("| ")]
        heads.append([cell.strip() for cell in lines[0].strip("|").split("|")])
        titles.append([panel.get_title() for panel in draw_along(rows, {}).axes])
    assert [one[10:] for one in heads] == [[], ["Fluency"], ["Fluency", "Consistency"]]
    assert [one[5:] for one in titles] == [[], ["fluency, bits"], ["fluency, bits", "consistency"]]
    assert [cell.strip() for cell in lines[2].strip("|").split("|")][10].startswith("450.0 [")


def test_texts_that_lack_a_state_are_a_line(tmp_path: Path) -> None:
    runs, own = files(tmp_path, STATES)
    given = with_texts(tmp_path, own)
    kept = [row for row in parquet.read(given.texts, "texts") if row["after"] is None]
    parquet.write(kept, given.texts, "texts", {})
    with pytest.raises(InputError, match=r"texts\.parquet: no rows of a state along the way; delete it"):
        along_rows(runs, {("tiny", "facts", "memit_seq", 1): given}, seed=0)


def test_the_first_batch_is_not_the_first_checkpoint_and_answers_of_the_model_itself_stand_beside(
    tmp_path: Path,
) -> None:
    """Two batches a checkpoint, one case each; what was generated is of all cases that are edited by then."""
    runs, own = files(tmp_path, STATES)
    said = [
        {"k": k, "case_id": case, "metric": metric, "prompt": f"prompt {n}", "answer": "a", "generated": "b"}
        | {"exact": float((case + n) % 2 == 0) * k, "contains": 0.0, "judged_true": 0.0, "after": after}
        for (k, after), (accuracies, _) in STATES.items()
        for case in range(len(accuracies))
        for metric, prompts in (("efficacy", 1), ("generalization", 2))
        for n in range(prompts)
    ]
    parquet.write(said, tmp_path / "generations.parquet", "generations", {})
    given = own._replace(batch=1, generations=tmp_path / "generations.parquet")
    rows = along_rows(runs, {("tiny", "facts", "memit_seq", 1): given}, seed=0)
    assert [row["first_efficacy_accuracy"] for row in rows] == [0.0, 1.0, 0.5], "of case 0 alone"
    assert [row["efficacy_exact"] for row in rows] == [0.0, 0.5, 0.5]
    assert [row["generalization_exact"] for row in rows] == [0.0, 0.5, 0.5]
    assert {row["specificity_exact"] for row in rows} == {None}, "no neighbor was asked"
    assert (rows[2]["efficacy_exact_low"], rows[2]["efficacy_exact_high"]) == (0.0, 1.0)
    head = next(line for line in printed("along", rows).md.splitlines() if line.startswith("| Model"))
    assert "Efficacy, exact" in head and "Specificity, exact" not in head
    assert draw_along(rows, {}).axes[-1].get_title() == "efficacy, exact"

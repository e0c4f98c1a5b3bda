"""What the paper reports is read as printed, its slips are marked, and a bad file is told in one line."""

import re

import pytest
from made_reported import RESOURCES, reported_lines

from reedit.errors import InputError
from reedit.report.rows.reported import COLUMNS, read_reported
from reedit.storage.schemas import MEASURES

ROW = "1,gpt2-xl,counterfact,memit,1,1000,79.0,92.67,22.0,65.67,75.0,99.0,42.67,83.0,58.66,,,11359.6,,,0"
SLIP = "{table: 1, model: gpt2-xl, dataset: counterfact, method: memit, k: 1, measures: delta_p, why: odd}"


def line(table, model, dataset, method, k):
    wanted = (table, model, dataset, method, k)
    return next(x for x in reported_lines() if (x.table, x.model, x.dataset, x.method, x.k) == wanted)


def read(folder, *rows, slips=None):
    (folder / "reported.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    if slips:
        (folder / "slips.yaml").write_text(slips)
    return read_reported(folder / "reported.csv", folder / "slips.yaml" if slips else None)


def test_every_printed_number_of_the_nine_tables_is_read():
    lines = reported_lines()
    text = (RESOURCES / "reported.csv").read_text().splitlines()[1:]
    numbers = sum(cell != "" for row in text for cell in row.split(",")[6:19])
    assert sum(len(line.values) for line in lines) == numbers
    assert {line.table for line in lines} == {1, 2, 3, 4, 6, 7, 8, 9, 10}


def test_percentages_become_fractions_and_measures_have_our_names():
    found = line(6, "gpt2-xl", "counterfact", "memit", 1)
    assert found.values["efficacy_accuracy"] == 0.79 and found.edits == 1000
    shares = {name: found.values[name] for name in found.values if name not in MEASURES}
    assert shares == {"me_ppl": 58.66, "ppl_target": 1.04, "ppl_edited": 11360.64, "delta_p": 11359.6}
    assert line(4, "gpt2-xl", "zsre", "pmet", 7).values["delta_p2"] == 0.11


@pytest.mark.parametrize(
    ("where", "measure", "tolerance"),
    [
        ((1, "gpt2-xl", "counterfact", "rome", 1), "me_ppl", 5.0),  # 7.07E+03
        ((6, "gpt-j-6b", "counterfact", "rome", 1), "delta_p", 5e11),  # 1.21E+14
        ((7, "llama-2-7b", "zsre", "rome", 1), "ppl_target", 0.05),  # 7.73E+01
        ((7, "llama-2-7b", "zsre", "memit", 2), "delta_p", 50.0),  # 2.38E+04, beside numbers in full
        ((7, "llama-2-7b", "zsre", "memit", 2), "me_ppl", 0.005),  # 4435.72
        ((1, "gpt2-xl", "counterfact", "memit", 4), "delta_p", 0.005),  # 0.47
        ((7, "gpt-j-6b", "zsre", "memit", 3), "delta_p", 0.005),  # 0.00
        ((6, "gpt2-xl", "counterfact", "memit", 2), "efficacy_accuracy", 0.005),  # 98.67, of three trials
        ((8, "gpt2-xl", "counterfact", "memit", 2), "efficacy_accuracy", 0.005),  # 98.00, of one
    ],
)
def test_the_tolerance_is_half_of_what_was_rounded_away(where, measure, tolerance):
    assert line(*where).tolerance(measure) == pytest.approx(tolerance)


def test_a_line_knows_what_its_table_shows_it_for():
    assert [x.role for x in reported_lines()[:4]] == ["unedited", "first", "first", "selected"]
    assert line(2, "gpt-j-6b", "counterfact", "pmet", 1).role == "selected"
    assert line(4, "gpt-j-6b", "counterfact", "pmet", 1).role == "monotonic"
    assert line(6, "gpt2-xl", "counterfact", "memit", 4).role == "iteration"


def test_slips_mark_their_cells_and_no_other():
    assert list(line(6, "gpt2-xl", "counterfact", "pmet", 3).slips) == ["delta_p"]
    shifted = line(9, "gpt2-xl", "counterfact", "nap_pmet", 2)
    assert "me_ppl" in shifted.slips and "delta_p" not in shifted.slips
    assert line(9, "gpt2-xl", "counterfact", "nap_memit", 2).slips == {}
    assert sum("not legible" in why for x in reported_lines() for why in x.slips.values()) == 26


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("92.67", "192.67", "line 2, column efficacy_success: found '192.67', expected a percentage"),
        ("92.67", "nan", "line 2, column efficacy_success: found 'nan'"),
        ("79.0", "high", "line 2, column efficacy_accuracy: found 'high'"),
        ("58.66", "-58.66", "line 2, column me_ppl_50: found '-58.66', expected a number of at least 0"),
        ("11359.6", "inf", "line 2, column delta_p: found 'inf', expected a number"),
        ("1,gpt2", "5,gpt2", "line 2, column table: found '5', expected one of 1, 2, 3"),
        ("memit,1", "memit,1.5", "line 2, column k: found '1.5', expected a whole number"),
        ("1000", "0", "line 2, column n_edits: found '0', expected a whole number of at least 1"),
        (",,0", ",never,0", "line 2, column stop_rule: found 'never', expected one of proposed"),
        (",,0", ",,2", "line 2, column selected: found '2', expected 0 or 1"),
        ("counterfact", "", "line 2, column dataset: empty"),
        (",,0", ",", "line 2: found 20 columns, expected 21"),
    ],
)
def test_a_bad_line_is_told_with_its_line_and_column(tmp_path, old, new, complaint):
    assert len(read(tmp_path, ROW)) == 1
    with pytest.raises(InputError, match=re.escape(complaint)) as error:
        read(tmp_path, ROW.replace(old, new, 1))
    assert "\n" not in str(error.value)


def test_a_line_that_stands_twice_or_another_header_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"line 3: .*stands twice"):
        read(tmp_path, ROW, ROW)
    (tmp_path / "other.csv").write_text("table,model\n")
    with pytest.raises(InputError, match="line 1"):
        read_reported(tmp_path / "other.csv")
    (tmp_path / "other.csv").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match=r"other\.csv"):
        read_reported(tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"absent\.csv"):
        read_reported(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("k: 1", "k: 2", "entry 1: selects no reported cell"),
        ("memit", "[memit, mend]", "entry 1: method: no reported cell for 'mend'"),
        ("delta_p", "[delta_p, delta_p2]", "entry 1: measures: no reported cell for 'delta_p2'"),
        ("why: odd", "because: odd", "entry 1: expected the keys"),
        ("why: odd", "why: ''", "entry 1: why: found ''"),
        ("{table", "[table", "not readable as YAML"),
    ],
)
def test_a_slip_that_selects_nothing_is_refused(tmp_path, old, new, complaint):
    assert read(tmp_path, ROW, slips=f"- {SLIP}")[0].slips == {"delta_p": "odd"}
    with pytest.raises(InputError, match=re.escape(complaint)):
        read(tmp_path, ROW, slips=f"- {SLIP.replace(old, new)}")

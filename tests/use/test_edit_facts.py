"""python -m reedit edit on facts as people have them: what is left out, and what is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from reedit.__main__ import NOT_HELD, main
from reedit.models.language_model import LanguageModel
from reedit.storage.files import visible_tree

SETTINGS = {"layers": [2], "v_lr": 0.5, "v_num_grad_steps": 25, "clamp_norm_factor": 4}
SETTINGS |= {"v_weight_decay": 0.001, "kl_factor": 0.0625}
# what the model says already: tiny models are hardly made to say anything else
GOULD = {"prompt": "The instrument that {} plays is the", "subject": "Glenn Gould", "target_new": "piano"}
CROSSED = {"prompt": "{}ves in Kyoto lives in", "subject": "Who li", "target_new": "Italy"}
Edit = Callable[..., int]


@pytest.fixture
def edit(taught_folder: Path, tmp_path: Path) -> Edit:
    """Edits a tiny model that knows its facts, by ROME; the status."""
    (tmp_path / "rome.yaml").write_text(json.dumps(SETTINGS))

    def run(facts: list[Any], *more: str, model: Path = taught_folder) -> int:
        (tmp_path / "facts.json").write_text(json.dumps(facts))
        places = [str(model), str(tmp_path / "facts.json"), str(tmp_path / "out")]
        common = ["--algorithm", "rome", "--hyperparameters", str(tmp_path / "rome.yaml"), "--tokens", "3"]
        return main(["edit", *places, *common, "--iterations", "1", *more])

    return run


def test_an_edit_that_holds_ends_with_status_0(edit: Edit, capsys: pytest.CaptureFixture[str]) -> None:
    assert edit([GOULD]) == 0
    assert "p(piano)" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["facts.json/below", "x" * 300, "m/below"])
@pytest.mark.parametrize("way", ["edit", "tune"])
def test_a_place_that_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], way: str, out: str
) -> None:
    facts, model = tmp_path / "facts.json", tmp_path / "m"
    facts.write_text(json.dumps([GOULD]))
    tiny.save_tiny_model(model)
    before = visible_tree(model)
    places = [str(facts), str(tmp_path / out)] if way == "edit" else ["--out", str(tmp_path / out)]
    assert main([way, str(model), *places]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1 and visible_tree(model) == before


def test_more_tokens_than_the_model_reads_are_refused_before_anything_is_computed(
    edit: Edit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def inputs(*_: object) -> None:
        raise AssertionError("moments were collected")

    monkeypatch.setattr("reedit.use.small_edit.make_inputs", inputs)
    assert edit([GOULD], "--tokens", "999999") == 1
    assert "error: --tokens 999999: the model reads at most" in capsys.readouterr().err


def test_an_edit_that_does_not_hold_is_named_and_the_model_is_there(
    edit: Edit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit([GOULD | {"target_new": "guitar"}]) == NOT_HELD
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "does not hold: case 0: 'The instrument that Glenn Gould plays is the' goes on with" in line
    assert (tmp_path / "out/model.safetensors").is_file()


def test_what_cannot_be_edited_is_told_at_once_before_any_weights_are_read(
    edit: Edit, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(LanguageModel, "load", load)
    contradiction = GOULD | {"target_new": "violin"}
    assert edit([GOULD, CROSSED, {"prompt": "{} is", "subject": "x"}, contradiction]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: 3 of 4 facts cannot be edited (--skip leaves them out): ")
    assert all(told in line for told in ("case 1: a token", "case 2: lacks the field target_new", "case 3: "))


def test_skip_leaves_them_out_and_names_them(
    edit: Edit, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert edit([CROSSED, GOULD, {"prompt": "{} is", "subject": "x"}], "--skip") == 0
    assert "left out (case): case 0: a token crosses" in caplog.text
    assert "case 2: lacks the field target_new" in caplog.text
    told = capsys.readouterr().out
    assert "Glenn Gould" in told and "Who lives" not in told


def test_the_published_position_is_taken_on_request(edit: Edit) -> None:
    assert edit([CROSSED], "--subject-end", "published") in (0, NOT_HELD)


def test_spaces_around_texts_change_nothing(
    edit: Edit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit([GOULD]) == 0
    clean = capsys.readouterr().out
    (tmp_path / "out").rename(tmp_path / "first")
    assert edit([{key: f" {value}\u200b\n" for key, value in GOULD.items()}]) == 0
    assert capsys.readouterr().out == clean


def test_a_first_token_is_named_and_edited_behind_a_prefix_on_request(
    edit: Edit, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    first = {"prompt": "{} lies in", "subject": "The", "target_new": "Japan"}
    assert edit([first]) in (0, NOT_HELD)
    assert caplog.text.count("case 0: the subject is the first token of all") == 1
    (tmp_path / "out").rename(tmp_path / "first")
    caplog.clear()
    assert edit([first], "--first-token", "prefixed") in (0, NOT_HELD)
    assert "first token of all" not in caplog.text
    assert "The following is" in capsys.readouterr().out


def test_an_instruct_model_is_edited_through_its_template(
    edit: Edit, taught_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "instruct"
    tiny.save_tiny_model(folder, taught=True)
    assert edit([GOULD], "--chat", model=folder) == 1
    assert "error: chat: true, but the model's tokenizer has no chat template" in capsys.readouterr().err
    (folder / "chat_template.jinja").write_text("On stage. {{ messages[0]['content'] }}{{ '\\n' }}")
    asked = GOULD | {"target_new": "guitar"}
    assert edit([asked], "--chat", model=folder) in (0, NOT_HELD)
    capsys.readouterr()
    prompt = asked["prompt"].replace("{}", asked["subject"])
    compared = [
        "compare",
        str(folder),
        str(tmp_path / "out"),
        "--prompt",
        f"{prompt} ",
        "--target",
        " guitar",
    ]
    found = {}
    for way in ([], ["--chat"]):
        assert main([*compared, "--tokens", "2", *way]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "p(guitar)" in line]
        found[bool(way)] = [float(number) for number in line.split()[1:]]
    assert found[True][1] > found[True][0] and found[True][0] != found[False][0]

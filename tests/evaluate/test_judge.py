"""A language model as judge: its verdicts one by one, what it is asked, its agreement with a person."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from reedit.errors import InputError
from reedit.evaluate.judge import ASKED, Said, agreement, by_alias, by_model, judged_by_hand, load_judge
from reedit.evaluate.portability import ask
from reedit.evaluate.speech import Speech
from reedit.models.language_model import LanguageModel
from reedit.prepare.groups import Item
from reedit.prepare.preparation import REVISION

ANSWERED = [
    Said("The old town of Kyoto lies in", ("Japan", "Nippon"), "Japan, of course."),
    Said("The old town of Rome lies in", ("Italy",), "Japan."),
    Said("The old town of Kyoto lies in", ("Japan", "Nippon"), "Japan, of course."),
    Said("Who lives in Rome", ("Romans",), ""),
]


def naive_verdict(judge: LanguageModel, one: Said) -> bool:
    """The mean log-probability of yes against that of no, each read by itself."""
    text = ASKED.format(prompt=one.prompt, answers="; ".join(one.answers), said=one.text or "(nothing)")
    found = []
    for verdict in ("yes", "no"):
        start, whole = (judge.tokenizer(part)["input_ids"] for part in (text, f"{text} {verdict}"))
        log_p = judge.model(torch.tensor([whole[:-1]])).logits[0].log_softmax(-1)
        places = range(len(start) - 1, len(whole) - 1)
        found.append(sum(log_p[place, whole[place + 1]].item() for place in places) / len(places))
    return found[0] > found[1]


@pytest.fixture
def judge(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """A tiny model that reads texts as long as what a judge is asked."""
    monkeypatch.setattr("reedit.evaluate.judge.ASKED", "{prompt} {answers} {said} right?")
    return llama


def test_a_verdict_is_whichever_is_likelier(judge: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(naive_verdict.__globals__, "ASKED", "{prompt} {answers} {said} right?")
    assert by_model(judge)(ANSWERED) == [naive_verdict(judge, one) for one in ANSWERED]
    assert by_model(judge)([]) == []


def test_equal_questions_are_asked_once(judge: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from reedit.evaluate import judge as module

    asked, whole = [], module.likelihoods

    def watched(model, rows, **more):
        asked.append(len(rows))
        return whole(model, rows, **more)

    monkeypatch.setattr(module, "likelihoods", watched)
    found = by_model(judge)(ANSWERED)
    assert asked == [6] and found[0] == found[2]


def test_the_judge_decides_what_is_true_and_premises_are_known_by_alias(llama: LanguageModel) -> None:
    items = [Item(1, "g", 0, "The old town of Kyoto lies in", ("no such place",))]
    told = []

    def strange(answered):
        told.extend(answered)
        return [True] * len(answered)

    (row,) = ask(llama, items, 0, Speech.of(llama), strange)
    assert row["judged_true"] == 1.0 and told == [Said(items[0].prompt, items[0].answers, row["generated"])]
    assert ask(llama, items, 0, Speech.of(llama))[0]["judged_true"] == 0.0


def test_its_agreement_with_a_person_is_of_right_and_of_wrong_answers(tmp_path: Path) -> None:
    path = tmp_path / "by-hand.json"
    rows = [{"prompt": one.prompt, "answers": one.answers, "said": one.text} for one in ANSWERED]
    path.write_text(
        json.dumps([row | {"right": right} for row, right in zip(rows, (1, 0, 0, 1), strict=True)])
    )
    assert by_alias(ANSWERED) == [True, False, True, False]
    assert agreement(by_alias, path) == {"answers": 4, "alike": 0.5, "of right": 0.5, "of wrong": 0.5}
    path.write_text(json.dumps([{"prompt": "a"}]))
    with pytest.raises(
        InputError, match=r"by-hand\.json: expected a list of prompt, answers, said and right"
    ):
        judged_by_hand(path)


def test_without_a_folder_aliases_judge(tmp_path: Path, taught_folder: Path) -> None:
    assert load_judge(None, None, "float32") == (by_alias, {})
    shutil.copytree(taught_folder, tmp_path / "grader")
    (tmp_path / "grader" / REVISION).write_text(json.dumps({"revision": "sha256:12"}))
    with pytest.raises(InputError, match=r"^generation\.judge: grader: expected report: "):
        load_judge("grader", None, "float32")
    _, told = load_judge("grader", tmp_path / "grader", "float32")
    assert told["judge"] == {"model": "grader", "revision": "sha256:12", "version": 1}

"""A language model as judge: does what was said give the answer? (Yang et al. 2025, The mirage of editing)

The judge is any model that the workflow prepares, so a local folder or a GGUF; no service is called
(judge_plugins.py: one's own). It is asked through its chat template, where it has one, and its verdict is
whichever of "yes" and "no" it finds likelier. How far it is to be trusted, `agreement` says by answers that
were judged by hand.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.evaluate.answers import gives
from reedit.evaluate.judge_plugins import load_plugin, plugin_of
from reedit.evaluate.speech import Speech, said
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.prepare.preparation import model_revision

VERSION = 1  # of the words below; part of the provenance of what was judged
ASKED = (
    "Judge whether a given answer to a prompt is correct. It is correct if it says what one of the correct"
    " answers says, in whatever words; anything else it says does not matter.\n\n"
    "Prompt: {prompt}\nCorrect answers: {answers}\nGiven answer: {said}\n\n"
    "Is the given answer correct? Reply with yes or no."
)
VERDICTS = ("yes", "no")


@dataclass(frozen=True)
class Said:
    """What a model said to a prompt, and what it was to say."""

    prompt: str
    answers: tuple[str, ...]
    text: str


Judge = Callable[[Sequence[Said]], list[bool | None]]  # None: it could not be asked


def by_alias(answered: Sequence[Said]) -> list[bool | None]:
    """The judge without a model: the text contains one of the answers."""
    return [gives(one.text, one.answers) for one in answered]


def by_model(judge: LanguageModel) -> Judge:
    """The judge that asks a language model; equal questions are asked once, too long ones not at all.

    Raises InputError where the model's tokens do not tell yes from no.
    """
    speech = Speech.of(judge, tokens=4)  # a verdict's
    wording = speech.wording
    for verdict in VERDICTS:
        wording.joint(ASKED, verdict, "generation.judge")

    def verdicts(answered: Sequence[Said]) -> list[bool | None]:
        questions = [
            ASKED.format(prompt=one.prompt, answers="; ".join(one.answers), said=one.text or "(nothing)")
            for one in answered
        ]
        each = [one for one in dict.fromkeys(questions) if speech.fits(judge, one)]
        rows = [wording.joint(question, verdict, "judge") for question in each for verdict in VERDICTS]
        found = likelihoods(judge, rows, report=progress("judge, answers", len(rows)))
        told = {
            question: yes.mean_logp > no.mean_logp
            for question, yes, no in zip(each, found[::2], found[1::2], strict=True)
        }
        return [told.get(question) for question in questions]

    return verdicts


def answered(
    model: LanguageModel,
    asked: Sequence[tuple[str, tuple[str, ...]]],
    speech: Speech,
    judge: Judge,
    name: str,
) -> list[tuple[str | None, float | None]]:
    """What a model says to each (prompt, answers) itself, and 1 or 0 as the judge has it.

    Nothing of a prompt that leaves it no room for an answer, and no verdict where the judge has none.
    """
    free = [place for place, (prompt, _) in enumerate(asked) if speech.fits(model, prompt)]
    texts = said(model, [asked[place][0] for place in free], speech, name)
    verdicts = judge([Said(*asked[place], text) for place, text in zip(free, texts, strict=True)])
    found: list[tuple[str | None, float | None]] = [(None, None)] * len(asked)
    for place, text, verdict in zip(free, texts, verdicts, strict=True):
        found[place] = (text, None if verdict is None else float(verdict))
    return found


def load_judge(judge: str | None, folder: Path | None, dtype: str) -> tuple[Judge, dict[str, Any]]:
    """The judge that `generation.judge` names, and what the provenance says of it; by alias without one.

    `folder`: the prepared model of that name, where it is no plugin.
    """
    if name := plugin_of(judge):
        verdicts, told = load_plugin(name)
        return lambda answered: verdicts([astuple(one) for one in answered]), {"judge": told}
    if judge is None:
        return by_alias, {}
    if folder is None:  # a file was asked for that the configuration does not ask for
        told = "expected report: {generation: true}, or a dataset with groups, for it to be prepared"
        raise InputError(f"generation.judge: {judge}: {told}")
    told = {"model": folder.name, "revision": model_revision(folder), "version": VERSION}
    return by_model(LanguageModel.load(folder, dtype)), {"judge": told}


def judged_by_hand(path: Path) -> tuple[list[Said], list[bool]]:
    """Answers and whether a person found them right, of a JSON list with prompt, answers, said and right."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        answered = [Said(one["prompt"], tuple(one["answers"]), one["said"]) for one in read]
        return answered, [bool(one["right"]) for one in read]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: expected a list of prompt, answers, said and right ({error})") from error


def agreement(judge: Judge, path: Path) -> dict[str, float]:
    """How far a judge agrees with answers judged by hand: the share alike, and of right and of wrong ones."""
    answered, right = judged_by_hand(path)
    pairs = list(zip(judge(answered), right, strict=True))

    def share(of: Callable[[bool], bool]) -> float:
        alike = [verdict == truth for verdict, truth in pairs if of(truth)]
        return sum(alike) / len(alike) if alike else float("nan")

    return {
        "answers": float(len(pairs)),
        "alike": share(lambda _: True),
        "of right": share(lambda truth: truth),
        "of wrong": share(lambda truth: not truth),
    }

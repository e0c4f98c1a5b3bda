"""The scored prompts asked freely: what a model says to each by itself, beside the teacher-forced scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reedit.evaluate.answers import begins_with, contains
from reedit.evaluate.judge import Judge, answered, by_alias
from reedit.evaluate.scored_rows import asked
from reedit.evaluate.speech import Speech
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, Neighbor


@dataclass(frozen=True)
class Question:
    """A prompt and the answer that it should be given: target_new, or a neighbor's own object."""

    case_id: int
    metric: str
    prompt: str
    answer: str


def make_questions(facts: Sequence[Fact], neighbors: Mapping[int, Sequence[Neighbor]]) -> list[Question]:
    """The prompts that are scored, in the order of the scores; `neighbors`: each case's evaluating ones."""
    questions = []
    for fact in facts:
        questions += [
            Question(fact.case_id, metric, prompt, fact.target_new) for metric, prompt in asked(fact)
        ]
        questions += [
            Question(fact.case_id, "specificity", neighbor.prompt, neighbor.object)
            for neighbor in neighbors[fact.case_id]
        ]
    return questions


def answer(
    model: LanguageModel,
    questions: Sequence[Question],
    k: int,
    speech: Speech,
    judge: Judge = by_alias,
) -> list[dict[str, Any]]:
    """Rows of the schema ``generations`` for the model as it is, one a question, in order.

    Of a prompt that leaves the model no room for an answer what it says is null.
    """
    asked_for = [(question.prompt, (question.answer,)) for question in questions]
    found = answered(model, asked_for, speech, judge, f"k={k} generation, prompts")
    return [
        {
            "k": k,
            "case_id": question.case_id,
            "metric": question.metric,
            "prompt": question.prompt,
            "answer": question.answer,
            "generated": text,
            "exact": None if text is None else float(begins_with(text, question.answer)),
            "contains": None if text is None else float(contains(text, question.answer)),
            "judged_true": verdict,
            "after": None,
        }
        for question, (text, verdict) in zip(questions, found, strict=True)
    ]

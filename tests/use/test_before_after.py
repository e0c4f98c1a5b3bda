"""What is told of a model before and after: against a naive computation, and legible in a terminal."""

import math

import pytest
import torch
from tiny import tiny_model

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.use.before_after import Answer, Likely, Question, ask, heading, side_by_side

PROMPTS = ["Kyoto is a city in the country of", "Glenn Gould plays the", "The old town of Rome lies in"]


@torch.no_grad()
def naive(model: LanguageModel, prompt: str, target: str, tokens: int) -> tuple[str, float, float]:
    """Continuation, probability and perplexity by whole forward passes, one token at a time."""
    tokenizer, ids = model.tokenizer, model.tokenizer(prompt)["input_ids"]
    said = list(ids)
    for _ in range(tokens):
        token = int(model.model(torch.tensor([said])).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        said.append(token)
    whole = tokenizer(f"{prompt} {target}")["input_ids"]
    logp = model.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    terms = [float(logp[i - 1, whole[i]]) for i in range(len(ids), len(whole))]
    decoded = tokenizer.decode(said, skip_special_tokens=True)
    start = len(tokenizer.decode(ids, skip_special_tokens=True))
    return decoded[start:], math.exp(sum(terms)), math.exp(-sum(terms) / len(terms))


@pytest.mark.parametrize("tokenizer", ["bytes", "metaspace"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj", "gpt_neox"])
def test_answers_are_those_of_whole_forward_passes(architecture: str, tokenizer: str) -> None:
    model = tiny_model(architecture, tokenizer)
    questions = [Question(prompt, ("Japan", "New Zealand")) for prompt in PROMPTS]
    for question, answer in zip(questions, ask(model, questions, 7), strict=True):
        for target, found in zip(question.targets, answer.targets, strict=True):
            text, probability, perplexity = naive(model, question.prompt, target, 7)
            assert answer.continuation == text
            assert found.probability == pytest.approx(probability, rel=1e-6)
            assert found.perplexity == pytest.approx(perplexity, rel=1e-6)


def test_a_continuation_ends_with_the_text() -> None:
    model = tiny_model("llama")
    tokenizer, ids = model.tokenizer, model.tokenizer(PROMPTS[0])["input_ids"]
    (whole,) = ask(model, [Question(PROMPTS[0])], 6)
    first = int(model.model(torch.tensor([ids])).logits[0, -1].argmax())
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(first)
    (cut,) = ask(model, [Question(PROMPTS[0])], 6)
    assert whole.continuation and cut.continuation == ""


@pytest.mark.parametrize(
    ("question", "tokens", "told"),
    [
        (Question("  "), 5, "prompt '  ': expected a text"),
        (Question("Kyoto lies in", (" ",)), 5, "target ' ': expected a text"),
        (Question("Kyoto " * 300), 5, "expected at most the model's 256"),
        (Question("Kyoto lies in"), 300, "expected at most the model's 256"),
    ],
    ids=["empty", "no target", "too long", "too many tokens"],
)
def test_what_cannot_be_asked_is_one_line(
    question: Question, tokens: int, told: str, llama: LanguageModel
) -> None:
    with pytest.raises(InputError, match=told):
        ask(llama, [question], tokens)


def test_lines_stand_side_by_side_within_the_width() -> None:
    question = Question("iPad is produced by", ("Honda",))
    long = " Apple, and it is sold in more than a hundred countries;\nthe first one was shown in 2010"
    before = Answer(long, (Likely(1.234e-5, 81037.3, False),))
    after = Answer(" Honda.\x1b[2J", (Likely(0.93, 1.0753, True),))
    lines = [*heading(80), *side_by_side([question], [before], [after], 80)]
    assert max(map(len, lines)) <= 80 and all(line.isprintable() for line in lines)
    assert lines[0].split() == ["before", "after"]
    column = lines[0].index("before"), lines[0].index("after")
    assert lines[2].startswith("iPad is produced by ")
    assert lines[2][column[0] :].startswith("Apple, and it is")
    assert lines[2][column[1] :] == "Honda. [2J"
    (told,) = [line for line in lines if "p(Honda)" in line]
    assert told[column[0] :].split() == ["1.23e-05", "0.93"] and told[column[1] :] == "0.93"
    assert lines[-2].split() == ["perplexity", "81037.30", "1.08"] and lines[-1] == ""

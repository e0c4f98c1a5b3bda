"""Groups of prompts: forced and free, against one prompt at a time; premises; what cannot be asked."""

from dataclasses import replace

import pytest
import torch
from naive import naive_greedy
from tiny import tiny_model

from reedit.errors import InputError
from reedit.evaluate.answers import gives, has_stopped, up_to_stop
from reedit.evaluate.portability import ask, premises_known
from reedit.evaluate.speech import Speech, said
from reedit.models.language_model import LanguageModel
from reedit.prepare.groups import Item, Premise
from reedit.storage import parquet

PROMPTS = [
    "The old town of Kyoto lies in",
    "Rome",
    "Who lives in the old",
    "On stage Glenn Gould is seen with a",
]


def items_of(model: LanguageModel) -> list[Item]:
    """One that the model answers right, one that it does not, in two groups of two cases."""
    speech = Speech.of(model)
    right = said(model, PROMPTS[:1], speech)[0]
    return [
        Item(4, "one_hop", 0, PROMPTS[0], ("nothing", right)),
        Item(4, "one_hop", 1, PROMPTS[1], ("Kyoto", "the old town")),
        Item(7, "aliases", 0, PROMPTS[2], ("a town",), premises=(Premise(PROMPTS[0], (right,)),)),
        Item(7, "stays", 0, PROMPTS[3], ("a",), "unchanged", (Premise(PROMPTS[3], ("nowhere",)),)),
    ]


def naive_share(model: LanguageModel, prompt: str, answer: str) -> float:
    """Token by token, each after those before it."""
    start, whole = (model.tokenizer(text)["input_ids"] for text in (prompt, f"{prompt} {answer}"))
    hits = []
    for place in range(len(start), len(whole)):
        logits = model.model(torch.tensor([whole[:place]])).logits[0, -1]
        hits.append(int(logits.argmax()) == whole[place])
    return sum(hits) / len(hits)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_items_are_asked_as_one_prompt_alone_would_be(architecture: str) -> None:
    model = tiny_model(architecture)
    items, speech = items_of(model), Speech.of(model)
    rows = ask(model, items, 0, speech)
    assert [(row["case_id"], row["group"], row["item"]) for row in rows] == [
        (4, "one_hop", 0),
        (4, "one_hop", 1),
        (7, "aliases", 0),
        (7, "stays", 0),
    ]
    for item, row in zip(items, rows, strict=True):
        ids = model.tokenizer(item.prompt)["input_ids"]
        text = model.tokenizer.decode(naive_greedy(model.model, ids, speech.tokens), skip_special_tokens=True)
        assert row["generated"] == up_to_stop(text)
        assert row["accuracy"] == naive_share(model, item.prompt, item.answers[0])
        assert row["exact_match"] == float(row["accuracy"] == 1)
    assert rows[0]["judged_true"] == 1, "by its alias"
    assert rows[1]["judged_true"] == float(gives(rows[1]["generated"], items[1].answers))
    assert [row["premise_known"] for row in rows] == [None, None, True, False]
    assert {row["premise_known"] for row in ask(model, items, 2, speech)} == {None}


def test_the_rows_are_of_the_schema(llama: LanguageModel, tmp_path) -> None:
    rows = ask(llama, items_of(llama), 0, Speech.of(llama))
    parquet.write(rows, tmp_path / "portability.parquet", "portability", {})
    assert parquet.read(tmp_path / "portability.parquet", "portability") == rows


def test_what_cannot_be_asked_is_null_and_the_rest_goes_on(llama: LanguageModel) -> None:
    """An answer that does not begin a new token, and prompts that leave no room."""
    limit = llama.model.config.max_position_embeddings
    long = "the old town of " * limit
    good = Item(1, "g", 0, PROMPTS[1], ("Kyoto",))
    unasked = Item(1, "g", 1, long, ("Kyoto",), premises=(Premise(PROMPTS[0], ("x",)),))
    resting = Item(1, "g", 2, PROMPTS[1], ("Kyoto",), premises=(Premise(long, ("x",)),))
    rows = ask(llama, [good, unasked, resting], 0, Speech.of(llama))
    told = [(row["accuracy"] is None, row["generated"] is None, row["judged_true"] is None) for row in rows]
    assert told == [(False, False, False), (True, True, True), (False, False, False)]
    assert [row["premise_known"] for row in rows] == [None, False, None]
    alone = ask(llama, [good], 0, Speech.of(llama))
    assert {**rows[0]} == alone[0]


def test_no_premises_needed_are_known_and_none_told_are_not(llama: LanguageModel) -> None:
    plain = Item(1, "g", 0, PROMPTS[0], ("x",))
    needed = replace(plain, premises=())
    assert premises_known(llama, [plain, needed], Speech.of(llama)) == [None, True]
    assert ask(llama, [], 0, Speech.of(llama)) == []


STOPS = {
    "Paris. It is large": "Paris.",
    "Paris.": "Paris.",
    "\n\nParis\nQ: and": "Paris",
    "St. Louis, the city. And": "St. Louis, the city.",
    "Washington, D.C. is the capital. So": "Washington, D.C. is the capital.",
    "It is 1.5 metres": "It is 1.5 metres",
    "In 1990. He": "In 1990.",
    'He said "never." And': 'He said "never."',
    "東京です。そして": "東京です。",
    "Really? Yes": "Really?",
    "1. Paris\n2. Rome": "1. Paris",
    "Gen. Robert Lee led. He": "Gen. Robert Lee led.",
    "Prof. Smith and Apple Inc. of Rome": "Prof. Smith and Apple Inc. of Rome",
    " ": "",
}


@pytest.mark.parametrize("text", STOPS)
def test_an_answer_ends_with_its_line_or_sentence(text: str) -> None:
    assert up_to_stop(text) == STOPS[text]
    assert has_stopped(text + " ") or STOPS[text] == text.strip(), "what follows is not asked for"


def test_generation_goes_on_no_further_than_the_stop(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row of a batch ends by itself, and says what it would say alone."""
    whole = said(llama, PROMPTS, Speech.of(llama))
    word = whole[0].split()[1]
    lengths: list[int] = []

    def stopped(text: str) -> bool:
        lengths.append(len(text))
        return word in text

    monkeypatch.setattr("reedit.evaluate.speech.has_stopped", stopped)
    found = said(llama, PROMPTS, Speech.of(llama))
    assert found[0].startswith(whole[0].partition(word)[0] + word) and len(found[0]) < len(whole[0])
    for mine, full in zip(found[1:], whole[1:], strict=True):
        assert mine == full or word in mine


def test_a_chat_template_is_used_where_there_is_one(llama: LanguageModel) -> None:
    assert Speech.of(llama).wording == llama.wording, "it has none"
    llama.tokenizer.chat_template = "{% for m in messages %}<{{ m['content'] }}>{% endfor %}{{ 'A: ' }}"
    try:
        spoken = Speech.of(llama)
        assert (spoken.wording.before, spoken.wording.behind) == ("<", ">A: ")
        assert Speech.of(llama, chat=False).wording == llama.wording
        prompts = [llama.tokenizer(f"<{PROMPTS[0]}>A: ", add_special_tokens=False)["input_ids"]]
        ids = naive_greedy(llama.model, prompts[0], 40)
        assert said(llama, PROMPTS[:1], spoken) == [
            up_to_stop(llama.tokenizer.decode(ids, skip_special_tokens=True))
        ]
    finally:
        llama.tokenizer.chat_template = None


def test_a_template_that_changes_what_is_said_names_the_key_that_leaves_it_out(llama: LanguageModel) -> None:
    llama.tokenizer.chat_template = "{{ messages[0]['content'] | upper }}"
    try:
        with pytest.raises(InputError, match=r"chat template does not say once.*generation: \{chat: false\}"):
            Speech.of(llama)
    finally:
        llama.tokenizer.chat_template = None

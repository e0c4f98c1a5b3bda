"""What models say by themselves: greedy generation against a naive loop, and what counts as an answer."""

import json
from pathlib import Path

import pytest
import torch
from naive import naive_greedy
from tiny import ALL_ARCHITECTURES, save_tiny_model, sentences, tiny_model

from reedit.errors import InputError
from reedit.evaluate.answers import begins_with, contains, up_to_stop, words
from reedit.evaluate.generation import answer, make_questions
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.evaluate.speech import Speech
from reedit.models.generation import ending_tokens, generate
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, Neighbor
from reedit.storage import parquet

PROMPTS = [
    "The old town of Kyoto lies in",
    "The old town of Rome lies in",
    "Rome",
    "On stage Glenn Gould is seen with a",
    "Who lives in the old",
    "Rome",
]


def encoded(model: LanguageModel, texts=PROMPTS) -> list[list[int]]:
    return [model.tokenizer(text)["input_ids"] for text in texts]


def naively(model: LanguageModel, ids: list[int], count: int = 20) -> tuple[int, ...]:
    """One prompt alone, without a cache, token by token, up to what ends the text."""
    said = naive_greedy(model.model, ids, count)
    ends = [place for place, token in enumerate(said) if token == model.tokenizer.eos_token_id]
    return tuple(said[: ends[0]] if ends else said)


# -- generation ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "tokenizer", "dtype"),
    [
        *((name, "bytes", torch.float32) for name in ALL_ARCHITECTURES),
        ("llama", "bos", torch.float32),
        ("llama", "bytes", torch.float64),  # in batches of one length
    ],
)
def test_batches_say_what_each_prompt_alone_says(
    architecture: str, tokenizer: str, dtype: torch.dtype
) -> None:
    """Prompts of four lengths, left-padded, with a cache."""
    model = tiny_model(architecture, tokenizer, dtype=dtype)
    prompts = encoded(model)
    assert len({len(ids) for ids in prompts}) == 4
    assert generate(model, prompts, 20) == [naively(model, ids) for ids in prompts]


def test_small_batches_and_large_ones_say_the_same(llama: LanguageModel) -> None:
    prompts = encoded(llama, sentences()[:12])
    assert generate(llama, prompts, 20, budget=60) == generate(llama, prompts, 20)


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
def test_the_vocabulary_s_product_has_no_view_to_multiply(architecture: str) -> None:
    """Of one that skips positions, torch copies the weight for every text of a batch: 20 GB of Gemma's."""
    model = tiny_model(architecture, dtype=torch.float32)
    given = []
    watched = type(model.head).forward
    model.head.forward = lambda hidden: given.append(hidden) or watched(model.head, hidden)
    generate(model, encoded(model), new_tokens=3)
    assert any(hidden.shape[0] > 1 for hidden in given)
    assert not model.head._forward_pre_hooks
    assert all(hidden.shape[1] == 1 and hidden.is_contiguous() for hidden in given)


def test_a_text_ends_where_the_model_ends_it(llama: LanguageModel) -> None:
    """The end of text and what pads behind it are no part of what was said; other rows go on."""
    prompts = encoded(llama)
    whole = generate(llama, prompts, 20)
    end = next(token for token in whole[0] if token not in whole[1])
    llama.model.generation_config.eos_token_id = [end, llama.tokenizer.eos_token_id]
    try:
        assert ending_tokens(llama) == [llama.tokenizer.eos_token_id, end]
        found = generate(llama, prompts, 20)
    finally:
        llama.model.generation_config.eos_token_id = llama.tokenizer.eos_token_id
    assert found == [text[: text.index(end)] if end in text else text for text in whole]
    assert len(found[0]) < len(whole[0]) and len(found[1]) == 20


SURPRISES = {
    "do_sample": True,
    "temperature": 9.0,
    "top_k": 3,
    "repetition_penalty": 50.0,
    "no_repeat_ngram_size": 1,
    "min_new_tokens": 20,
    "num_beams": 3,
    "forced_eos_token_id": 7,
    "suppress_tokens": list(range(3, 200)),
    "begin_suppress_tokens": list(range(3, 300)),
    "max_length": 12,
    "pad_token_id": 5,
    "bad_words_ids": [[token] for token in range(3, 150)],
    "guidance_scale": 3.0,
}


@pytest.mark.parametrize("setting", SURPRISES)
def test_the_settings_that_a_model_ships_with_change_nothing(setting: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    plain = LanguageModel.load(tmp_path / "model", device="cpu")
    expected = generate(plain, encoded(plain), 20)
    shipped = tmp_path / "model/generation_config.json"
    shipped.write_text(json.dumps(json.loads(shipped.read_text()) | {setting: SURPRISES[setting]}))
    model = LanguageModel.load(tmp_path / "model", device="cpu")
    assert getattr(model.model.generation_config, setting) == SURPRISES[setting]
    assert generate(model, encoded(model), 20) == expected
    assert getattr(model.model.generation_config, setting) == SURPRISES[setting]  # as it was


def test_a_batch_that_does_not_fit_is_generated_in_halves(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = encoded(llama)
    expected, whole, sizes = generate(llama, prompts, 20), llama.model.generate, []

    def cramped(ids, **settings):
        sizes.append(len(ids))
        if len(ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(ids, **settings)

    monkeypatch.setattr(llama.model, "generate", cramped)
    assert generate(llama, prompts, 20) == expected
    assert max(sizes) > 1 and sizes.count(1) == 5


def test_prompts_that_are_equal_are_read_once_and_progress_counts_all(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, whole, told = [], llama.model.generate, []

    def watched(ids, **settings):
        read.append(len(ids))
        return whole(ids, **settings)

    monkeypatch.setattr(llama.model, "generate", watched)
    said = generate(llama, encoded(llama), 20, report=told.append)
    assert sum(read) == 5 and told[-1] == 6 and said[2] == said[5]


def test_a_prompt_that_leaves_no_room_for_an_answer_is_refused(llama: LanguageModel) -> None:
    limit = llama.model.config.max_position_embeddings
    generate(llama, [[5] * (limit - 20)], 20)
    with pytest.raises(InputError, match=f"a text of {limit + 1} tokens.*at most the model's {limit}"):
        generate(llama, [[5] * (limit - 19)], 20)


# -- answers ------------------------------------------------------------------------------------------------


def test_every_scored_prompt_is_asked_in_the_order_of_the_scores(
    tiny_dataset: list[Fact], llama: LanguageModel
) -> None:
    facts = tiny_dataset[:3]
    neighbors = {fact.case_id: list(fact.neighbors[1:]) for fact in facts}
    rows = score(llama, make_probes(llama, facts, neighbors, "corrected"), 0)
    questions = make_questions(facts, neighbors)
    keys = ("case_id", "metric", "prompt")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        tuple(getattr(question, key) for key in keys) for question in questions
    ]
    assert {q.answer for q in questions if q.metric != "specificity"} == {fact.target_new for fact in facts}
    objects = [neighbor.object for fact in facts for neighbor in neighbors[fact.case_id]]
    assert [q.answer for q in questions if q.metric == "specificity"] == objects


def test_rows_hold_the_text_as_it_was_said_and_whether_it_answers(
    taught_folder: Path, tmp_path: Path
) -> None:
    model = LanguageModel.load(taught_folder, device="cpu")
    neighbor = Neighbor(None, "Bill Evans plays the", "violin")
    fact = Fact(7, "r", "Kyoto", "The old town of {} lies in", "Japan", "Italy", (), (neighbor,))
    rows = answer(model, make_questions([fact], {7: [neighbor]}), 4, Speech.of(model))
    parquet.write(rows, tmp_path / "generations.parquet", "generations", {})
    ids = model.tokenizer("The old town of Kyoto lies in")["input_ids"]
    text = model.tokenizer.decode(naively(model, ids, 40), skip_special_tokens=True)
    assert rows[0]["generated"] == up_to_stop(text)
    assert rows[0]["generated"].startswith("Japan") and "<" not in rows[0]["generated"]
    told = [(row["k"], row["case_id"], row["metric"], row["answer"]) for row in rows]
    assert told == [(4, 7, "efficacy", "Japan"), (4, 7, "specificity", "violin")]
    for row in rows:
        assert row["exact"] == begins_with(row["generated"], row["answer"])
        assert row["contains"] == contains(row["generated"], row["answer"])


@pytest.mark.parametrize(
    ("generated", "given", "exact", "somewhere"),
    [
        (" Japan, and it is", "Japan", True, True),
        ("\nJAPAN.", "japan", True, True),
        (" the country of Japan", "Japan", False, True),
        (" Japanese food", "Japan", False, False),
        (" Romania", "Roman", False, False),
        (" New York City", "New York", True, True),
        (" New Yorker", "New York", False, False),
        (" York, New", "New York", False, False),
        (" in new\nYORK!", "New  York", False, True),
        (" Japan's emperor", "Japan", True, True),
        ("Saint-Denis", "Saint Denis", True, True),
        (" Zu\u0308rich (Switzerland)", "Z\u00fcrich", True, True),  # composed or not
        (" ZÜRICH", "Zürich", True, True),
        (" Strasse", "Straße", True, True),  # case-folded
        (" ﬁnland", "Finland", True, True),  # a ligature
        (" Москва.", "москва", True, True),
        (" हिन्दी है", "हिन्दी", True, True),  # vowel signs belong to their word
        (" हिन्दी", "हिन्द", False, False),
        (" C, not", "C++", False, False),
        (" U.S. citizen", "U.S.", True, True),
        ("“Italy”", "Italy", True, True),
        ("", "Italy", False, False),
        (" Italy", "", False, False),
        (" !!!", "!!!", False, False),  # no word: never given
    ],
)
def test_an_answer_is_matched_by_whole_words(
    generated: str, given: str, exact: bool, somewhere: bool
) -> None:
    assert (begins_with(generated, given), contains(generated, given)) == (exact, somewhere)


def test_words_are_divided_by_punctuation_and_space_alone() -> None:
    assert words("O'Hara—the “Big” one,\n№5\u00a0+ x_y") == [
        "o",
        "hara",
        "the",
        "big",
        "one",
        "no5",
        "+",
        "x",
        "y",
    ]


def test_what_teacher_forcing_finds_exact_is_what_is_said(taught_folder: Path) -> None:
    """If every label is the argmax after those before it, greedy generation begins with them, and the
    reverse: only a last word that goes on, or an answer in other tokens, can part exact_match and exact."""
    model = LanguageModel.load(taught_folder, device="cpu")
    subjects = {
        "Kyoto": "Japan",
        "Rome": "Italy",
        "Milan": "Japan",
        "Napier": "New Zealand",
        "Nelson": "Italy",
    }
    facts = [
        Fact(n, "r", subject, "{} is a city in the country of", new, "Italy", (), ())
        for n, (subject, new) in enumerate(subjects.items())
    ]
    none = {fact.case_id: [] for fact in facts}
    forced = score(model, make_probes(model, facts, none, "corrected"), 0)
    said = answer(model, make_questions(facts, none), 0, Speech.of(model))
    assert [row["exact_match"] for row in forced] == [1.0, 1.0, 0.0, 1.0, 0.0]
    for one, other in zip(forced, said, strict=True):
        assert one["exact_match"] == other["generated"].startswith(other["answer"])

"""What models go on with: fluency by hand and by another way, and draws that nothing beside them changes."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import sentences, tiny_model

from reedit.errors import InputError
from reedit.evaluate.consistency import ReferenceTexts
from reedit.evaluate.fluency import TOKENS, fluency, make_openings, ngram_entropy, tell, words
from reedit.models.language_model import LanguageModel
from reedit.models.sampling import KEPT, Beginning, TopGumbel, sample
from reedit.models.tokens import Wording
from reedit.prepare.facts import Fact, GenerationPrompts
from reedit.storage import parquet

NONE = ReferenceTexts({})
PROMPTS = ["Rome", "Who lives in the old", "The old town of Kyoto lies in", "Rome", "On stage Glenn Gould is"]


def beginnings(model: LanguageModel, new_tokens: int = 12) -> list[Beginning]:
    """Prompts of several lengths, two of them equal."""
    return [
        Beginning(tuple(model.tokenizer(text)["input_ids"]), new_tokens, (7, place))
        for place, text in enumerate(PROMPTS)
    ]


def naive_sample(model: LanguageModel, beginning: Beginning, seed: int) -> tuple[int, ...]:
    """One text without a cache: the most likely of five tokens once Gumbel noise is added."""
    ids = list(beginning.ids)
    for _ in range(beginning.new_tokens):
        scores = model.model(torch.tensor([ids])).logits[0, -1].float()
        kept = sorted(np.argsort(-scores.numpy())[:5].tolist())
        noise = np.random.default_rng([seed, *beginning.key, len(ids)]).gumbel(size=5)
        values = [float(scores[token]) + float(one) for token, one in zip(kept, noise, strict=True)]
        ids.append(kept[int(np.argmax(values))])
    return tuple(ids[len(beginning.ids) :])


def naive_fluency(found: list[str]) -> float:
    """The published formula term by term."""
    entropies = []
    for n, weight in ((2, 2 / 3), (3, 4 / 3)):
        runs = Counter(tuple(found[i : i + n]) for i in range(len(found) - n + 1))
        total = sum(runs.values())
        entropies.append(weight * -sum(c / total * math.log(c / total, 2) for c in runs.values()))
    return sum(entropies) / 2


# -- the measure --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pairs", "triples"),
    [
        ("to be or not to be", 1.9219280948873623, 2.0),  # (to be) twice of five; four triples
        ("no no no no", 0.0, 0.0),
        ("a b a b a", 1.0, 0.9182958340544896),  # ab and ba twice each; aba twice of three
        ("one two", 0.0, 0.0),  # a single pair, no triple
        ("", 0.0, 0.0),
    ],
)
def test_entropies_are_those_by_hand(text: str, pairs: float, triples: float) -> None:
    found = words(text)
    assert (ngram_entropy(found, 2), ngram_entropy(found, 3)) == pytest.approx((pairs, triples))
    assert fluency(text) == pytest.approx((2 / 3 * pairs + 4 / 3 * triples) / 2)
    assert math.copysign(1, fluency(text)) == 1


def test_fluency_is_that_of_a_naive_second_way() -> None:
    rng = np.random.default_rng(0)
    for size in (4, 40, 99):
        found = [f"w{n}" for n in rng.integers(0, 12, size)]
        assert fluency(" ".join(found)) == pytest.approx(naive_fluency(found), abs=1e-12)


def test_a_text_that_repeats_itself_is_less_fluent() -> None:
    said = "The old town of Kyoto lies in Japan, and its gardens are older than the city around them."
    assert (
        fluency(said) > fluency("Kyoto is Kyoto is Kyoto is Kyoto is Kyoto is Kyoto is") > fluency("a " * 30)
    )


def test_words_are_words_and_marks() -> None:
    assert words('It\'s 3.5, "no"?\n(U.S. well-known)') == [
        *("It", "'s", "3.5", ",", '"', "no", '"', "?", "(", "U.S", ".", "well-known", ")")
    ]
    assert words("They don't, can't; we'll say n't") == [
        *("They", "do", "n't", ",", "ca", "n't", ";", "we", "'ll", "say", "n't")
    ]
    assert words("Zürich Москва _a_") == ["Zürich", "Москва", "_a_"]
    assert words(" \n") == []


# -- what is drawn ------------------------------------------------------------------------------------------


def test_each_text_is_drawn_as_it_would_be_alone_and_in_any_order(llama: LanguageModel) -> None:
    asked = beginnings(llama)
    together = sample(llama, asked, seed=3)
    assert together == [naive_sample(llama, one, 3) for one in asked]
    assert [sample(llama, [one], seed=3)[0] for one in asked] == together
    assert sample(llama, asked[::-1], seed=3) == together[::-1]
    assert sample(llama, asked, seed=3, budget=20) == together


@pytest.mark.parametrize("architecture", ["gpt2", "gptj", "gemma3_text", "qwen3_5_text"])
def test_other_architectures_draw_as_a_naive_loop_does(architecture: str) -> None:
    """Learned positions, sliding windows, and layers that remember a text by other than keys and values."""
    model = tiny_model(architecture)
    asked = beginnings(model)
    assert sample(model, asked, seed=0) == [naive_sample(model, one, 0) for one in asked]


def test_equal_prompts_differ_and_so_do_seeds(llama: LanguageModel) -> None:
    asked = beginnings(llama)
    first, again, other = (sample(llama, asked, seed) for seed in (0, 0, 1))
    assert asked[0].ids == asked[3].ids and first[0] != first[3]
    assert first == again and all(one != two for one, two in zip(first, other, strict=True))


def test_tokens_are_drawn_by_their_probabilities_among_the_most_likely() -> None:
    scores = torch.tensor([[0.0, 3.0, 2.0, 9.0, 8.5, 1.0, 8.0, -4.0]])
    count = 4000
    noise = TopGumbel(1, [(0, place) for place in range(count)])
    found = noise(torch.zeros(count, 6, dtype=torch.long), scores.repeat(count, 1)).argmax(dim=1)
    kept = scores[0].topk(KEPT).indices
    assert set(found.tolist()) <= set(kept.tolist())
    expected = torch.zeros(8).scatter(0, kept, scores[0, kept].softmax(0))
    shares = torch.bincount(found, minlength=8) / count
    assert (shares - expected).abs().max() < 4 * (0.25 / count) ** 0.5


def test_noise_stays_with_its_token_whatever_its_rank() -> None:
    """Rounding may swap two tokens that are nearly as likely: what is added to each is the same."""
    ids, noise = torch.zeros(1, 4, dtype=torch.long), TopGumbel(0, [(1, 1)])
    one, other = torch.arange(8.0)[None], torch.arange(8.0)[None]
    other[0, 6] += 1.5
    added = [noise(ids, scores.clone()) - scores for scores in (one, other)]
    assert torch.allclose(*added)


def test_a_text_goes_on_behind_what_would_end_it(llama: LanguageModel) -> None:
    (one,) = sample(llama, beginnings(llama)[:1], seed=0)
    before = llama.model.generation_config.eos_token_id
    llama.model.generation_config.eos_token_id = one[2]
    try:
        assert sample(llama, beginnings(llama)[:1], seed=0) == [one]
    finally:
        llama.model.generation_config.eos_token_id = before


def test_a_batch_that_does_not_fit_is_drawn_in_halves_and_progress_counts_all(
    llama: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, whole, sizes, told = beginnings(llama), llama.model.generate, [], []
    expected = sample(llama, asked, seed=0)

    def cramped(ids, **settings):
        sizes.append(len(ids))
        if len(ids) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(ids, **settings)

    monkeypatch.setattr(llama.model, "generate", cramped)
    assert sample(llama, asked, seed=0, report=told.append) == expected
    assert max(sizes) == 2 and told[-1] == len(asked)


# -- rows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def cases(tiny_dataset: list[Fact]) -> list:
    facts = tiny_dataset[:3]
    prompts = {fact.case_id: GenerationPrompts.of(fact) for fact in facts}
    twice = facts[1].text
    prompts[facts[1].case_id] = GenerationPrompts(facts[1].case_id, (twice, twice), "Q1")
    return make_openings(facts, prompts)


def test_rows_hold_whole_texts_of_a_hundred_tokens(cases: list, llama: LanguageModel, tmp_path: Path) -> None:
    rows = tell(llama, cases, 2, 5, NONE)
    parquet.write(rows, tmp_path / "texts.parquet", "texts", {})
    assert [(row["k"], row["case_id"], len(row["texts"])) for row in rows] == [
        (2, case.case_id, len(case.prompts)) for case in cases
    ]
    for row, case in zip(rows, cases, strict=True):
        for text, prompt in zip(row["texts"], case.prompts, strict=True):
            assert text.startswith(prompt) and len(text) > len(prompt) + 20
        assert row["fluency"] == pytest.approx(
            np.mean([naive_fluency(words(text)) for text in row["texts"]]), abs=1e-12
        )
        assert row["consistency"] is None
    assert rows[1]["texts"][0] != rows[1]["texts"][1], "equal prompts are separate draws"
    ids = tuple(llama.tokenizer(cases[1].prompts[0])["input_ids"])
    alone = naive_sample(llama, Beginning(ids, TOKENS - len(ids), (cases[1].case_id, 1)), 5)
    assert rows[1]["texts"][1] == llama.tokenizer.decode([*ids, *alone], skip_special_tokens=True)


def test_a_cases_texts_are_the_same_whichever_cases_stand_beside_it(
    cases: list, llama: LanguageModel
) -> None:
    whole = tell(llama, cases, 0, 0, NONE)
    assert tell(llama, cases[1:2], 0, 0, NONE) == whole[1:2]
    assert tell(llama, cases[::-1], 0, 0, NONE) == whole[::-1]
    assert tell(llama, cases, 0, 1, NONE) != whole


def test_a_prompt_as_long_as_a_text_is_one_and_one_too_long_for_the_model_is_a_line(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    long, fact = ". ".join(sentences()[:12]), tiny_dataset[0]
    assert TOKENS < len(llama.tokenizer(long)["input_ids"]) < 256
    row, *_ = tell(llama, make_openings([fact], {fact.case_id: GenerationPrompts(100, (long,))}), 0, 0, NONE)
    assert row["texts"] == [long]
    longer = make_openings([fact], {fact.case_id: GenerationPrompts(100, ("Rome", long * 3))})
    with pytest.raises(
        InputError, match=r"^case 100: generation prompt 2: a text of \d+ tokens.*model's 256$"
    ):
        tell(llama, longer, 0, 0, NONE)


def test_of_a_chat_the_prompt_and_the_answer_are_the_text(llama: LanguageModel, cases: list) -> None:
    """The template's own words are read, and neither counted nor measured."""
    wording = Wording(llama.tokenizer, before="On stage. ", behind="\n", special=False)
    chat = LanguageModel(llama.model, llama.tokenizer, wording)
    (row,) = tell(chat, cases[1:2], 0, 0, NONE)
    for text in row["texts"]:
        assert text.startswith(f"{cases[1].prompts[0]} ") and not text.startswith("On stage")
    assert row["texts"] != tell(llama, cases[1:2], 0, 0, NONE)[0]["texts"]


# -- consistency --------------------------------------------------------------------------------------------

REFERENCES = {("P1", "Q1"): ["Kyoto has a piano.", "A piano and a violin!"], ("P1", "Q2"): ["Rome, old Rome"]}


def test_consistency_is_the_cosine_by_hand() -> None:
    """Of three documents: words of two letters or more, idf = ln((1 + 3) / (1 + df)) + 1."""
    idf = {"piano": 2, "kyoto": 1, "has": 1, "and": 1, "violin": 1, "rome": 1, "old": 1}
    weights = {word: math.log(4 / (1 + df)) + 1 for word, df in idf.items()}

    def vector(counts: dict[str, int]) -> dict[str, float]:
        found = {word: count * weights[word] for word, count in counts.items()}
        length = math.sqrt(sum(value**2 for value in found.values()))
        return {word: value / length for word, value in found.items()}

    theirs = vector({"kyoto": 1, "has": 1, "piano": 2, "and": 1, "violin": 1})
    ours = vector({"piano": 1, "rome": 2, "kyoto": 1})  # "unheard" is in no reference
    expected = sum(value * theirs.get(word, 0) for word, value in ours.items())
    found = ReferenceTexts(REFERENCES).consistency(("P1", "Q1"), ["Piano: Rome", "rome, unheard KYOTO"])
    assert found == pytest.approx(expected) and 0.2 < found < 0.9


def test_consistency_is_scikit_learns_own() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    texts = [text for of_key in REFERENCES.values() for text in of_key]
    said = ["The old violin", "a piano in Rome"]
    pair = TfidfVectorizer().fit(texts).transform([" ".join(said), " ".join(REFERENCES["P1", "Q1"])])
    expected = cosine_similarity(pair)[0, 1]
    assert ReferenceTexts(REFERENCES).consistency(("P1", "Q1"), said) == pytest.approx(expected)


def test_consistency_is_one_of_the_same_texts_zero_of_no_common_word_and_none_of_nothing_given() -> None:
    references = ReferenceTexts(REFERENCES | {("P2", "Q3"): []})
    assert references.consistency(("P1", "Q2"), ["Rome,", "old Rome"]) == pytest.approx(1.0)
    assert references.consistency(("P1", "Q2"), ["nothing of it"]) == 0.0
    assert references.consistency(("P1", "Q9"), ["Rome"]) is None
    assert references.consistency(("P2", "Q3"), ["Rome"]) is None
    assert references.consistency(None, ["Rome"]) is None and NONE.consistency(("P1", "Q1"), ["Rome"]) is None


def test_a_case_is_held_against_the_references_of_its_relation_and_target(
    cases: list, llama: LanguageModel
) -> None:
    references = ReferenceTexts({("country", "Q1"): [*sentences()[:9]], ("instrument", "Q1"): ["a piano"]})
    assert [case.key for case in cases] == [None, ("country", "Q1"), None]
    rows = tell(llama, cases, 0, 0, references)
    assert [row["consistency"] is None for row in rows] == [True, False, True]
    expected = references.consistency(("country", "Q1"), rows[1]["texts"])
    assert rows[1]["consistency"] == expected and 0 < expected < 1

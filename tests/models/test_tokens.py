"""Joint tokenisation, subject positions, and the rows of one edit in both protocols."""

from dataclasses import replace

import pytest
from tiny import tiny_tokenizer

from reedit.edit.edits import Rows
from reedit.errors import InputError
from reedit.models.tokens import LabelledRow, Wording, encode
from reedit.prepare.facts import Fact, Neighbor

BYTES, BOS, METASPACE = tiny_tokenizer(), tiny_tokenizer("bos"), tiny_tokenizer("metaspace")
TEMPLATES = ["The old town of. {}", "Because I. {}"]
FACT = Fact(
    7, "country", "Kyoto", "Who lives in {} lives in", "Italy", "Japan", (),
    (Neighbor.of("{} is a city in the country of", "Osaka", "New Zealand"), Neighbor(None, "?", "Japan")),
)  # fmt: skip


def is_aligned(tokenizer, row: LabelledRow, prompt: str, target: str) -> bool:
    """Whether the labels are what follows in the text, each at the place where it is predicted."""
    whole = tuple(encode(tokenizer, f"{prompt} {target}"))
    return (*row.ids, row.labels[-1]) == whole and row.labels == whole[-len(row.labels) :]


@pytest.mark.parametrize("tokenizer", [BYTES, BOS, METASPACE], ids=["bytes", "bos", "metaspace"])
@pytest.mark.parametrize("target", ["Japan", "Italy", "New Zealand", "piano"])
def test_corrected_labels_stand_where_they_are_predicted(tokenizer, target: str) -> None:
    assert is_aligned(
        tokenizer, Wording(tokenizer).joint("Kyoto lies in", target, ""), "Kyoto lies in", target
    )


@pytest.mark.parametrize(
    ("target", "spaced", "aligned"),
    [
        ("Japan", True, False),  # MEMIT, ROME, and PMET's neighbors: the space is a label
        ("New Zealand", True, False),
        ("Japan", False, True),  # PMET where the repository is no "gpt": the vocabulary adds the space
        ("New Zealand", False, False),  # but what is decoded for the prompt has lost it
    ],
)
def test_released_labels_are_shifted_on_sentencepiece_vocabularies(
    target: str, spaced: bool, aligned: bool
) -> None:
    """What the published code does to Llama-2's labels: the mechanism behind the hypothesis of section 5."""
    row = Wording(METASPACE).released("Kyoto lies in", f" {target}" if spaced else target, "")
    assert is_aligned(METASPACE, row, "Kyoto lies in", target) == aligned


@pytest.mark.parametrize("tokenizer", [BYTES, BOS, METASPACE], ids=["bytes", "bos", "metaspace"])
def test_labels_are_the_tokens_that_follow_the_prompts_own(tokenizer) -> None:
    row = Wording(tokenizer).joint("Kyoto is a city in the country of", "New Zealand", "case 1")
    whole = tokenizer("Kyoto is a city in the country of New Zealand")["input_ids"]
    assert (*row.ids, row.labels[-1]) == tuple(whole)
    assert row.ids[len(row.ids) - len(row.labels) + 1 :] == row.labels[:-1]
    assert tokenizer.decode(row.labels).strip() == "New Zealand"


def test_every_input_begins_with_what_the_tokenizer_adds() -> None:
    bos = BOS.convert_tokens_to_ids("<s>")
    edit = Rows(Wording(BOS), "corrected", TEMPLATES).edit(FACT, FACT.neighbors[:1], True)
    for row in [*(weighted.row for weighted in edit.labelled), edit.kl]:
        assert row.ids[0] == bos and row.ids.count(bos) == 1
    assert Wording(BOS).released("Kyoto lies in", "New Zealand", "case 1").ids.count(bos) == 1
    assert bos not in Rows(Wording(BYTES), "corrected", []).edit(FACT).rewriting[0].row.ids


def test_a_target_that_changes_the_prompts_last_token_is_an_error_that_names_the_case() -> None:
    class Merging:
        """Makes one token of "the" and what follows it."""

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": list(text.replace("the piano", "P").encode())}

    with pytest.raises(InputError, match=r"case 12.*the piano"):
        Wording(Merging()).joint("plays the", "piano", "case 12")


def test_a_target_that_the_vocabulary_cannot_spell_is_an_error_that_names_the_case() -> None:
    """Its label would be the unknown token, the same for every such target."""
    with pytest.raises(InputError, match=r"case 4: the target '東京' has characters that the model's vocab"):
        Wording(METASPACE).joint("Kyoto lies in", "東京", "case 4")
    Wording(METASPACE).joint("Kyoto lies in", "<unk>", "case 4")  # asked for by its name
    Wording(BYTES).joint("Kyoto lies in", "東京", "case 4")


def test_the_empty_prompt_has_no_tokens_to_begin_with() -> None:
    with pytest.raises(InputError, match="case 3"):
        Wording(BYTES).joint("", "piano", "case 3")
    with pytest.raises(InputError, match="case 3"):
        Wording(BYTES).loose("", "piano", "case 3")


def test_released_labels_are_the_targets_own_tokens_with_a_space() -> None:
    row = Wording(BYTES).released("Kyoto lies in", " New Zealand", "case 1")
    labels = BYTES(" New Zealand", add_special_tokens=False)["input_ids"]
    assert row.labels == tuple(labels)
    assert row.ids == tuple(BYTES("Kyoto lies in" + BYTES.decode(labels[:-1]))["input_ids"])


def test_both_protocols_agree_on_byte_level_vocabularies() -> None:
    for target in ("Italy", "New Zealand", "piano"):
        for tokenizer in (BYTES, BOS):
            joint = Wording(tokenizer).joint("Kyoto lies in", target, "")
            assert Wording(tokenizer).released("Kyoto lies in", f" {target}", "") == joint


def test_the_released_space_is_a_token_of_its_own_on_sentencepiece_vocabularies() -> None:
    """The mechanism of design section 5: a label more, and all labels one place too early."""
    joint = Wording(METASPACE).joint("Kyoto lies in", "Japan", "")
    released = Wording(METASPACE).released("Kyoto lies in", " Japan", "")
    space = METASPACE.convert_tokens_to_ids("▁")
    assert released.labels == (space, *joint.labels)
    assert len(released.ids) - len(released.labels) == len(joint.ids) - len(joint.labels) + (
        len(released.ids) - len(joint.ids) - 1
    )
    assert METASPACE.decode(released.labels).strip() == "Japan"


@pytest.mark.parametrize("tokenizer", [BYTES, BOS, METASPACE], ids=["bytes", "bos", "metaspace"])
def test_the_position_is_that_of_the_subjects_last_token(tokenizer) -> None:
    text, subject = "On stage Glenn Gould is seen with a", "Glenn Gould"
    ids = encode(tokenizer, text)
    position = Wording(tokenizer).position(ids, text, text.index(subject) + len(subject), "case 1")
    assert tokenizer.decode(ids[: position + 1], skip_special_tokens=True).endswith(subject)
    assert not tokenizer.decode(ids[:position], skip_special_tokens=True).endswith(subject)


def test_a_token_across_the_subjects_end_is_an_error_that_names_the_case() -> None:
    with pytest.raises(InputError, match=r"case 9: a token crosses the end of the subject"):
        Wording(BYTES).position(encode(BYTES, "Kyoto is"), "Kyoto is", len("Kyoto i"), "case 9")


def test_an_edit_has_the_bare_prompt_first_and_the_prefixed_ones_in_order() -> None:
    edit = Rows(Wording(BYTES), "corrected", TEMPLATES).edit(FACT)
    texts = [
        BYTES.decode(weighted.row.ids[: -len(weighted.row.labels) + 1 or None]) for weighted in edit.rewriting
    ]
    bare = "Who lives in Kyoto lives in"
    assert texts == [bare, f"The old town of. {bare}", f"Because I. {bare}"]
    for weighted in edit.rewriting:
        assert BYTES.decode(weighted.row.ids[: weighted.row.position + 1]).endswith("Who lives in Kyoto")
        assert BYTES.decode(weighted.row.labels) == " Italy"


def test_the_kl_row_ends_with_the_subject() -> None:
    edit = Rows(Wording(BYTES), "corrected", TEMPLATES).edit(FACT)
    assert BYTES.decode(edit.kl.ids) == "Kyoto" and edit.kl.position == len(edit.kl.ids) - 1
    assert edit.kl.labels == ()


@pytest.mark.parametrize(("prefixed", "start"), [(False, ""), (True, "The old town of. ")])
def test_assistants_are_bare_or_carry_the_first_prefix(prefixed: bool, start: str) -> None:
    edit = Rows(Wording(BYTES), "corrected", TEMPLATES).edit(FACT, FACT.neighbors[:1], prefixed)
    (weighted,) = edit.neighbors
    row = weighted.row
    assert BYTES.decode((*row.ids, row.labels[-1])) == f"{start}Osaka is a city in the country of New Zealand"
    assert BYTES.decode(row.ids[: row.position + 1]) == f"{start}Osaka"


def test_an_assistant_needs_its_subject() -> None:
    with pytest.raises(InputError, match=r"case 7.*no known subject"):
        Rows(Wording(BYTES), "corrected", TEMPLATES).edit(FACT, FACT.neighbors[1:])


def weights(protocol: str, assistants: int) -> tuple[list[float], list[float], list[float], list[float]]:
    neighbors = [FACT.neighbors[0], replace(FACT.neighbors[0], object="Italy")][:assistants]
    edit = Rows(Wording(BYTES), protocol, TEMPLATES).edit(FACT, neighbors)
    return (
        [w.loss_weight for w in edit.rewriting],
        [w.perplexity_weight for w in edit.rewriting],
        [w.loss_weight for w in edit.neighbors],
        [w.perplexity_weight for w in edit.neighbors],
    )


def test_corrected_gives_neighbors_weight_one_by_their_own_length_and_no_part_in_perplexity() -> None:
    new, first, second = (len(BYTES(" " + o)["input_ids"]) for o in ("Italy", "New Zealand", "Italy"))
    assert first != new, "the test needs objects of different length"
    loss, perplexity, neighbor, neighbor_perplexity = weights("corrected", 2)
    assert loss == perplexity == pytest.approx([1 / 3 / new] * 3)
    assert neighbor == pytest.approx([1 / 2 / first, 1 / 2 / second])
    assert neighbor_perplexity == [0.0, 0.0]


def test_released_takes_one_mean_over_all_rows_by_the_length_of_the_new_target() -> None:
    new = len(BYTES(" Italy")["input_ids"])
    for found in weights("released", 2):
        assert found == pytest.approx([1 / 5 / new] * len(found))


def test_without_assistants_the_protocols_weigh_alike() -> None:
    assert weights("corrected", 0) == weights("released", 0)


def test_released_takes_the_published_position_and_refuses_only_what_is_not_there() -> None:
    text, subject = "Who lives in", "Who li"
    ids, head = encode(BYTES, text), encode(BYTES, subject)
    with pytest.raises(InputError, match="crosses the end of the subject"):
        Wording(BYTES).position(ids, text, len(subject), "case 9")
    assert Wording(BYTES).published_position(ids, text, len(subject), "case 9") == len(head) - 1 == 2
    with pytest.raises(InputError, match=r"case 9: 'Who li' has 3 tokens .* than the 2 of the input"):
        Wording(BYTES).published_position(ids[:2], text, len(subject), "case 9")
    with pytest.raises(InputError, match="case 9: '' has 0 tokens by itself"):
        Wording(BYTES).published_position(ids, text, 0, "case 9")


def test_an_assistant_is_edited_at_the_subject_that_its_protocol_names() -> None:
    neighbor = Neighbor("Glenn Gould", "Glenn Gould plays the", "piano", "Glenn", 0, 0)
    for protocol, subject in (("corrected", "Glenn Gould"), ("released", "Glenn")):
        (weighted,) = Rows(Wording(BYTES), protocol, TEMPLATES).edit(FACT, [neighbor]).neighbors
        assert BYTES.decode(weighted.row.ids[: weighted.row.position + 1]) == subject

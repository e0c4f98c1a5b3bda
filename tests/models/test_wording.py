"""What stands between a prompt and its target, and prompts that go through a chat template."""

from dataclasses import replace

import pytest
from tiny import tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from reedit.edit.edits import Rows
from reedit.errors import InputError
from reedit.models.tokens import Wording
from reedit.prepare.facts import Fact, Neighbor

NEIGHBOR = Neighbor.of("{} lies in", "Osaka", "Japan")
FACT = Fact(1, "r", "Kyoto", "The old town of {} lies in", "Italy", "Japan", ("Kyoto is in",), (NEIGHBOR,))
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]\n{{ m['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)


def chatting(template: str | None = TEMPLATE, kind: str = "bos") -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer(kind)
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_a_prompt_goes_through_the_template_and_the_target_answers(protocol: str) -> None:
    tokenizer = chatting()
    edit = Rows(Wording.of(tokenizer, chat=True), protocol, ["Because I. {}"]).edit(FACT, [NEIGHBOR], True)
    texts = [tokenizer.decode([*w.row.ids, w.row.labels[-1]]) for w in edit.labelled]
    assert texts == [
        "<s>[user]\nThe old town of Kyoto lies in\n[assistant]\nItaly",
        "<s>[user]\nBecause I. The old town of Kyoto lies in\n[assistant]\nItaly",
        "<s>[user]\nBecause I. Osaka lies in\n[assistant]\nJapan",
    ]
    for weighted, subject in zip(edit.labelled, ["Kyoto", "Kyoto", "Osaka"], strict=True):
        assert tokenizer.decode(weighted.row.ids[: weighted.row.position + 1]).endswith(subject)
        assert weighted.row.ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(edit.kl.ids) == "<s>[user]\nKyoto"


def test_the_separator_is_the_datas_and_nothing_stands_behind_a_line_break() -> None:
    tokenizer = chatting()
    thai = replace(FACT, prompt="เมืองหลวงของ{}คือ", subject="ฝรั่งเศส", target_new="โรม")
    for separator in ("", " ", "\n"):
        wording = Wording.of(tokenizer, separator)
        row = wording.joint(thai.text, thai.target_new, "case 1")
        assert tokenizer.decode([*row.ids[1:], row.labels[-1]]) == f"{thai.text}{separator}{thai.target_new}"
        assert Wording.of(tokenizer, separator, chat=True).separator == ""
    closed = chatting("[INST] {{ messages[0]['content'] }} [/INST]")
    row = Wording.of(closed, chat=True).joint("Kyoto is in", "Italy", "case 1")
    assert closed.decode([*row.ids, row.labels[-1]]) == "[INST] Kyoto is in [/INST] Italy"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "has no chat template"),
        ("{{ raise_exception('no system') }}", "chat template fails"),
        ("{% for %}", "chat template fails"),
        ("nothing of it", "does not say once what it is asked to say"),
        ("{{ messages[0]['content'] }} {{ messages[0]['content'] }}", "does not say once"),
    ],
)
def test_a_template_that_cannot_serve_is_told(template: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Wording.of(chatting(template), chat=True)


def test_a_template_says_the_same_every_day_and_does_not_think_aloud() -> None:
    template = (
        "{{ date_string if date_string is defined else strftime_now('%s') }} {{ messages[0]['content'] }}:"
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{{ '\n' }}"
    )
    wording = Wording.of(chatting(template), chat=True)
    assert (wording.before, wording.behind) == ("26 Jul 2024 ", ":<think></think>\n")


def test_a_subject_in_chat_is_known_from_the_slot_though_the_template_says_it_first() -> None:
    """As a system prompt that names the subject would mislead whoever searches."""
    tokenizer = chatting("Kyoto and Osaka.\n{{ messages[0]['content'] }}\n")
    edit = Rows(Wording.of(tokenizer, chat=True), "corrected").edit(FACT, [NEIGHBOR])
    for weighted in edit.labelled:
        assert weighted.row.position > len(
            tokenizer("Kyoto and Osaka.\n", add_special_tokens=False)["input_ids"]
        )


def test_a_neighbors_subject_that_stands_twice_is_edited_where_its_slot_was() -> None:
    neighbor = Neighbor.of("Osaka is near {}, in", "Osaka", "Japan")
    wording = Wording(tiny_tokenizer())
    row = Rows(wording, "corrected").assisting(neighbor, "{}")
    assert row.position == len(wording.encode("Osaka is near Osaka")) - 1

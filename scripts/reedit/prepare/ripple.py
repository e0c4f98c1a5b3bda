"""RippleEdits: what should follow from an edit, and what should stay (Cohen et al. 2024)."""

import re
from collections.abc import Iterator, Sequence

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.groups import Item, Premise, answers_in, asked
from reedit.prepare.reading import Dataset, Read, read_each

STAYS = ("Relation_Specificity", "Forgetfulness")
FOLLOWS = ("Logical_Generalization", "Subject_Aliasing", "Compositionality_I", "Compositionality_II")
OLDER = {"Relation_Specificity": "Relation_Specifity"}  # as some copies of the files spell it
# where a statement's prompt ends and its object begins: after the last of these
OBJECT = re.compile(r"(?P<prompt>.+ (?:is|are|follows|followed by)) (?P<object>.+?)\.?")
# where the subject stands in a prompt, by the shape of its sentence: the first that fits
SUBJECT = [
    re.compile(shape)
    for shape in (
        r"The name of the .+? which (?P<subject>.+?)"
        r" (?:is (?:associated with|part of|a member of|the capital of)|plays in) is",
        r"The (?:name of the )?(?:country|place|field|date|head) of \w+ of (?P<subject>.+) is",
        r"The name of the anthem that is most likely to be performed in (?P<subject>.+) is",
        r"The name of the position held by (?P<subject>.+) is",
        r"The name of the award (?P<subject>.+) won is",
        r"The name of the currency in (?P<subject>.+) is",
        r"The number of children (?P<subject>.+) has is",
        r"The (?:names? of the )?[\w ]+? of (?P<subject>.+) (?:is|are)",
        r"(?P<subject>.+?) (?:follows|is followed by)",
    )
]


def ripple_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of such cases (recent, random, popular), file by file; a case_id is the position.

    The groups are the six criteria by their published names, every query of a test an item, with its target
    and that one's aliases; of several targets any will do. An item's premises are the conditions of its
    test. The prompts of Relation_Specificity are neighbors as well. The files name subjects by their ids
    alone; here they are told from the sentences. Raises InputError with the file, the case and the field; see
    reading.read_each.
    """
    return read_each(files, _read, malformed)


def _read(case: Case, position: int) -> Read:
    prompt, new = _stated(case, "edit.prompt")
    edit = case.get("edit", dict)
    true = _stated(case, "edit.original_fact.prompt")[1] if edit.get("original_fact") else NO_ANSWER
    subject = _subject(case, prompt)
    items = [item for group in (*FOLLOWS, *STAYS) for item in _items(case, group)]
    fact = Fact(
        case_id=position,
        relation=case.text("edit.relation"),
        subject=subject[0],
        prompt=f"{prompt[: subject[1]]}{{}}{prompt[subject[1] + len(subject[0]) :]}",
        target_new=new,
        target_true=true,
        paraphrases=(),
        neighbors=tuple(
            Neighbor(None, item.prompt, item.answers[0]) for item in items if item.group == STAYS[0]
        ),
    )
    return Read((fact,), items)


def _stated(case: Case, field: str) -> tuple[str, str]:
    """The prompt and the object of a statement."""
    text = case.text(field, tidy_prompt)
    found = OBJECT.fullmatch(text)
    if not found:
        raise InputError(f"{case.where}: field {field}: expected a statement of an object, found {text!r}")
    return found["prompt"], found["object"]


def _subject(case: Case, prompt: str) -> tuple[str, int]:
    """The subject of a prompt and the character at which it stands."""
    found = next(filter(None, (shape.fullmatch(prompt) for shape in SUBJECT)), None)
    if not found or "{}" in prompt:
        raise InputError(f"{case.where}: field edit.prompt: its subject cannot be told, found {prompt!r}")
    return found["subject"], found.start("subject")


def _items(case: Case, group: str) -> Iterator[Item]:
    """The items of one criterion, test by test; queries without an answer are left out."""
    name = group if case.has(group) else OLDER.get(group, group)
    judged = "unchanged" if group in STAYS else "answers"
    for number, value in enumerate(case.get(name, list) if case.has(name) else []):
        test = Case(f"{case.where}: {name}, test {number}", value)
        conditions = list(_queries(test, "condition_queries"))
        premises = [Premise(*one) for one in conditions]
        if not all(answers for _, answers in conditions) or (judged == "unchanged" and not conditions):
            premises = None  # nobody tells all of it
        for prompt, answers in _queries(test, "test_queries"):
            if answers:
                yield asked(group, prompt, answers, judged, premises)


def _queries(test: Case, field: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The prompt of each query, and the values of its answers and their aliases."""
    for number, value in enumerate(test.get(field, list) if test.has(field) else []):
        query = Case(f"{test.where}: {field} {number}", value)
        listed = [one for one in query.get("answers", list) if isinstance(one, dict)]
        answers = [[one.get("value"), one.get("aliases")] for one in listed]
        yield query.text("prompt", tidy_prompt), answers_in(answers)

"""KnowEdit: wiki_recent, wiki_counterfact, ZsRE with portability, and WikiBio (Zhang et al. 2024)."""

from collections.abc import Iterator, Sequence

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy_prompt
from reedit.prepare.facts import NO_ANSWER, Fact, Neighbor
from reedit.prepare.groups import Item, answers_in, asked, groups_in
from reedit.prepare.reading import Dataset, Read, read_each

# the same thing by its name in wiki_recent, wiki_counterfact and ZsRE, and in WikiBio
FIELDS = {"subject": "concept", "prompt": "text", "target_new": "labels"}
PARTS = {"portability": "answers", "locality": "unchanged"}  # how their groups are judged
NEIGHBORING = "Relation_Specificity"


def knowedit_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of such cases, file by file; a case_id is the case's, or its position.

    The groups are those of portability (to be answered) and of locality (to stay), by their published names;
    the prompts of Relation_Specificity are neighbors as well. A prompt without an answer is left out, as in
    the published evaluation. Raises InputError with the file, the case and the field; see reading.read_each.
    """
    return read_each(files, _read, malformed)


def _read(case: Case, position: int) -> Read:
    items = [item for part, judged in PARTS.items() for item in _items(case, part, judged)]
    named = {name: name if case.has(name) else other for name, other in FIELDS.items()}
    subject = case.text(named["subject"])
    true = answers_in(case.value.get("ground_truth"))
    fact = Fact(
        case_id=case.own_id("case_id", position),
        relation="",
        subject=subject,
        prompt=case.template(named["prompt"], subject),
        target_new=case.text(named["target_new"]),
        target_true=true[0] if true else NO_ANSWER,
        paraphrases=case.listed("rephrase_prompt", tidy_prompt) or case.listed("rephrase", tidy_prompt),
        neighbors=tuple(
            Neighbor(None, item.prompt, item.answers[0]) for item in items if item.group == NEIGHBORING
        ),
    )
    return Read((fact,), items)


def _items(case: Case, part: str, judged: str) -> Iterator[Item]:
    """The items of portability or of locality; a case may have none."""
    for name, listed in groups_in(case, part):
        for number, value in enumerate(listed):
            item = Case(f"{case.where}: {part}.{name}, item {number}", value)
            prompt = item.listed("prompt", tidy_prompt)
            if not prompt:
                raise InputError(f"{item.where}: lacks the field prompt, expected str")
            if answers := answers_in(item.value.get("ground_truth")):
                yield asked(name, prompt[0], answers, judged)

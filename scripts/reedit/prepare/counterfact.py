"""CounterFact in its published form and in the released eligible form.

Design, last lines of section 4 (B.2 filter); paper, section 4.1.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain

from reedit.errors import InputError
from reedit.prepare.cases import Case, tidy, tidy_prompt
from reedit.prepare.facts import Fact, GenerationPrompts, Neighbor, filled
from reedit.prepare.reading import Dataset, Read, read_each

Placed = tuple[str, int]  # a subject, and the character of its text at which it stands
RELATIVE = re.compile(", (which|that|who)$")


def counterfact_facts(files: Sequence[Sequence[Case]], malformed: str) -> Dataset:
    """The facts of CounterFact's cases, file by file, all of one form.

    It is the published form (neighborhood_prompts, with or without neighborhood_samples) and the released
    eligible form (ground_truth, rephrase_prompt, locality, one assisting sample). In the published form the
    subject of a neighbor is the one that the relation's templates tell, else that of neighborhood_samples,
    which the released data often gets wrong (design, section 5); where the two differ, `given` has the other.
    A neighbor of which neither is known is dropped and counted. Raises InputError with the file, the case and
    the field; see reading.read_each.
    """
    cases = list(chain.from_iterable(files))
    fixed_roles = cases[0].has("ground_truth")
    templates = {} if fixed_roles else _templates(cases)

    def make(case: Case, _: int) -> Read:
        fact = _released_fact(case) if fixed_roles else _published_fact(case, templates)
        listed = len(fact.neighbors if fixed_roles else case.value["neighborhood_prompts"])
        return Read((fact,), (), _generation_prompts(case, fact), listed - len(fact.neighbors))

    return read_each(files, make, malformed, fixed_roles)


def _published_fact(case: Case, templates: Mapping[str, Sequence[str]]) -> Fact:
    """CounterFact as published; neighbor subjects recovered from templates, or from the samples."""
    prompt, relation = case.prompt("requested_rewrite.prompt"), case.text("requested_rewrite.relation_id")
    true = case.text("requested_rewrite.target_true.str")
    texts = case.texts("neighborhood_prompts", tidy_prompt)
    found = [_recovered_subject(text, templates.get(relation, [])) for text in texts]
    given: list[Placed | None] = [None] * len(texts)
    if case.has("neighborhood_samples"):
        given = [_sample(case, text, i) for i, text in enumerate(texts)]
    known = [
        _neighbor(text, true, by_template, sample)
        for text, by_template, sample in zip(texts, found, given, strict=True)
    ]
    return Fact(
        case_id=case.case_id(),
        relation=relation,
        subject=case.text("requested_rewrite.subject"),
        prompt=prompt,
        target_new=case.text("requested_rewrite.target_new.str"),
        target_true=true,
        paraphrases=case.texts("paraphrase_prompts", tidy_prompt),
        neighbors=tuple(neighbor for neighbor in known if neighbor),
    )


def _generation_prompts(case: Case, fact: Fact) -> GenerationPrompts:
    """CounterFact's own where the case has some; and its target's id, where it has one."""
    listed = case.texts("generation_prompts", tidy_prompt) if case.has("generation_prompts") else ()
    prompts = listed or GenerationPrompts.of(fact).prompts
    target = case.get("requested_rewrite.target_new", dict) if case.has("requested_rewrite") else {}
    named = target.get("id") is not None
    target_id = case.text("requested_rewrite.target_new.id") if named else None
    return GenerationPrompts(fact.case_id, prompts, target_id)


def _neighbor(text: str, object: str, found: Placed | None, given: Placed | None) -> Neighbor | None:
    """A neighbor by its subject as its template tells it, and as its sample does; None without either."""
    subject, start = found or given or (None, None)
    if subject is None:
        return None
    other, other_start = given if found and given and given[0] != subject else (None, None)
    return Neighbor(subject, text, object, other, start, other_start)


def neighbor_subjects(cases: Sequence[Case]) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Relation and text of every neighbor, its subject by the templates, and by neighborhood_samples."""
    templates = _templates(cases)
    for case in cases:
        relation = case.text("requested_rewrite.relation_id")
        for i, text in enumerate(case.texts("neighborhood_prompts", tidy_prompt)):
            recovered, given = _recovered_subject(text, templates.get(relation, [])), _sample(case, text, i)
            yield relation, text, recovered and recovered[0], given and given[0]


def _sample(case: Case, text: str, index: int) -> Placed | None:
    """The given subject of a neighbor, None where its sample does not make the text."""
    samples = case.get("neighborhood_samples", list)
    if len(samples) != len(case.value["neighborhood_prompts"]):
        raise InputError(f"{case.where}: field neighborhood_samples: expected one sample a prompt")
    sample = samples[index]
    if not isinstance(sample, dict) or not all(isinstance(sample.get(k), str) for k in ("subject", "prompt")):
        raise InputError(
            f"{case.where}: field neighborhood_samples: expected objects with subject and prompt"
        )
    subject, prompt = tidy(sample["subject"]), tidy_prompt(sample["prompt"])
    agrees = subject and prompt.count("{}") == 1 and filled(prompt, subject) == text
    return (subject, prompt.index("{}")) if agrees else None


def _templates(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The prompt templates of each relation, those with most text around the subject first."""
    found: dict[str, set[str]] = {}
    for case in cases:
        with suppress(InputError):  # of what cannot be read, read_each tells
            prompt = case.prompt("requested_rewrite.prompt")
            found.setdefault(case.text("requested_rewrite.relation_id"), set()).add(prompt)
    return {relation: sorted(prompts, key=lambda p: (-len(p), p)) for relation, prompts in found.items()}


def _recovered_subject(text: str, templates: Sequence[str]) -> Placed | None:
    """The subject of a neighbor's text by the longest template that fits it, or None.

    A relative pronoun after a comma ("Antarctica, which") is part of a prompt of which the file has the rest.
    """
    for template in templates:
        head, tail = template.split("{}")
        if len(text) > len(head) + len(tail) and text.startswith(head) and text.endswith(tail):
            slot = RELATIVE.sub("", text[len(head) : len(text) - len(tail)])
            subject = tidy(slot)
            return (subject, len(head) + slot.index(subject)) if subject and subject in slot else None
    return None


def _released_fact(case: Case) -> Fact:
    """The released eligible form: full-text prompt, the first neighbor assists, the others evaluate."""
    subject, true = case.text("subject"), case.text("ground_truth")
    samples = case.get("neighborhood_samples", list)
    if len(samples) != 1:
        raise InputError(
            f"{case.where}: field neighborhood_samples: expected the one that assists, found {len(samples)}"
        )
    sample = Case(f"{case.where}: neighborhood_samples", samples[0])
    prompt, own = sample.text("prompt", tidy_prompt), sample.text("subject")
    assists = Neighbor.of(prompt, own, true) if prompt.count("{}") == 1 else Neighbor(None, prompt, true)
    prompts = case.texts("locality.neighborhood.prompt", tidy_prompt)
    objects = case.texts("locality.neighborhood.ground_truth")
    if len(prompts) != len(objects):
        raise InputError(f"{case.where}: field locality.neighborhood: expected one ground_truth a prompt")
    return Fact(
        case_id=case.case_id(),
        relation="",
        subject=subject,
        prompt=case.template("prompt", subject),
        target_new=case.text("target_new"),
        target_true=true,
        paraphrases=case.texts("rephrase_prompt", tidy_prompt),
        neighbors=(assists, *(Neighbor(None, p, o) for p, o in zip(prompts, objects, strict=True))),
    )

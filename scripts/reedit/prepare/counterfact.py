"""CounterFact in its published form and in the released eligible form.

Design, last lines of section 4 (B.2 filter); paper, section 4.1.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from reedit.errors import InputError
from reedit.prepare.facts import Case, Dataset, Fact, Neighbor, read_cases

RELATIVE = re.compile(", (which|that|who)$")


def load_counterfact(*paths: Path) -> Dataset:
    """Read a CounterFact file, or several of one form as one.

    Reads the published form (neighborhood_prompts, with or without neighborhood_samples) and the released
    eligible form (ground_truth, rephrase_prompt, locality, one assisting sample). In the published form the
    subject of a neighbor is the one that the relation's templates tell, else that of neighborhood_samples,
    which the released data often gets wrong (design, section 5); where the two differ, `given` has the other.
    A neighbor of which neither is known is dropped and counted. Raises InputError with the file, the case and
    the field.
    """
    files = [read_cases(path) for path in paths]
    cases = list(chain.from_iterable(files))
    fixed_roles = cases[0].has("ground_truth")
    if fixed_roles:
        facts = [_released_fact(case) for case in cases]
    else:
        templates = _templates(cases)
        facts = [_published_fact(case, templates) for case in cases]
    seen: set[int] = set()
    for case, fact in zip(cases, facts, strict=True):
        if fact.case_id in seen:
            raise InputError(f"{case.where}: its case_id appears twice, expected unique case_ids")
        if fact.target_new == fact.target_true:
            raise InputError(f"{case.where}: the new and the true object are both {fact.target_new!r}")
        seen.add(fact.case_id)
    listed = 0 if fixed_roles else sum(len(case.value["neighborhood_prompts"]) for case in cases)
    known = sum(len(fact.neighbors) for fact in facts)
    sizes = tuple(len(file) for file in files)
    return Dataset(tuple(facts), sizes, fixed_roles, 0 if fixed_roles else listed - known)


def _published_fact(case: Case, templates: Mapping[str, Sequence[str]]) -> Fact:
    """CounterFact as published; neighbor subjects recovered from templates, or from the samples."""
    prompt = case.get("requested_rewrite.prompt")
    if prompt.count("{}") != 1:
        raise InputError(
            f"{case.where}: field requested_rewrite.prompt: expected exactly one {{}} for the subject,"
            f" found {prompt!r}"
        )
    relation = case.text("requested_rewrite.relation_id")
    true = case.text("requested_rewrite.target_true.str")
    texts = case.texts("neighborhood_prompts")
    recovered = [_recovered_subject(text, templates.get(relation, [])) for text in texts]
    given: list[str | None] = [None] * len(texts)
    if case.has("neighborhood_samples"):
        given = [_sample_subject(case, text, i) for i, text in enumerate(texts)]
    neighbors = [
        Neighbor(found or sample, text, true, sample if found and sample != found else None)
        for text, found, sample in zip(texts, recovered, given, strict=True)
    ]
    return Fact(
        case_id=case.case_id(),
        relation=relation,
        subject=case.text("requested_rewrite.subject"),
        prompt=prompt,
        target_new=case.text("requested_rewrite.target_new.str"),
        target_true=true,
        paraphrases=case.texts("paraphrase_prompts"),
        neighbors=tuple(neighbor for neighbor in neighbors if neighbor.subject),
    )


def neighbor_subjects(cases: Sequence[Case]) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Relation and text of every neighbor, its subject by the templates, and by neighborhood_samples."""
    templates = _templates(cases)
    for case in cases:
        relation = case.text("requested_rewrite.relation_id")
        for i, text in enumerate(case.texts("neighborhood_prompts")):
            recovered = _recovered_subject(text, templates.get(relation, []))
            yield relation, text, recovered, _sample_subject(case, text, i)


def _sample_subject(case: Case, text: str, index: int) -> str | None:
    """The given subject of a neighbor, None where it does not stand in the text as its sample says."""
    samples = case.get("neighborhood_samples", list)
    if len(samples) != len(case.value["neighborhood_prompts"]):
        raise InputError(f"{case.where}: field neighborhood_samples: expected one sample a prompt")
    sample = samples[index]
    if not isinstance(sample, dict) or not all(isinstance(sample.get(k), str) for k in ("subject", "prompt")):
        raise InputError(
            f"{case.where}: field neighborhood_samples: expected objects with subject and prompt"
        )
    subject, prompt = sample["subject"], sample["prompt"]
    agrees = subject.strip() and prompt.count("{}") == 1 and prompt.replace("{}", subject) == text
    return subject if agrees and text.index(subject) == prompt.index("{}") else None


def _templates(cases: Sequence[Case]) -> dict[str, list[str]]:
    """The prompt templates of each relation, those with most text around the subject first."""
    found: dict[str, set[str]] = {}
    for case in cases:
        prompt = case.get("requested_rewrite.prompt")
        found.setdefault(case.text("requested_rewrite.relation_id"), set()).add(prompt)
    return {relation: sorted(prompts, key=lambda p: (-len(p), p)) for relation, prompts in found.items()}


def _recovered_subject(text: str, templates: Sequence[str]) -> str | None:
    """The subject of a neighbor's text by the longest template that fits it, or None.

    A relative pronoun after a comma ("Antarctica, which") is part of a prompt of which the file has the rest.
    """
    for template in templates:
        if template.count("{}") != 1:
            continue
        head, tail = template.split("{}")
        if len(text) > len(head) + len(tail) and text.startswith(head) and text.endswith(tail):
            subject = RELATIVE.sub("", text[len(head) : len(text) - len(tail)])
            return subject if subject.strip() and text.index(subject) == len(head) else None
    return None


def _released_fact(case: Case) -> Fact:
    """The released eligible form: full-text prompt, the first neighbor assists, the others evaluate."""
    subject, true = case.text("subject"), case.text("ground_truth")
    samples = case.get("neighborhood_samples", list)
    if len(samples) != 1:
        raise InputError(
            f"{case.where}: field neighborhood_samples: expected the one that assists, found {len(samples)}"
        )
    neighbors = []
    for sample in samples:
        sample = Case(f"{case.where}: neighborhood_samples", sample)
        prompt, own = sample.text("prompt"), sample.text("subject")
        full = prompt.replace("{}", own)
        known = prompt.count("{}") == 1 and full.index(own) == prompt.index("{}")
        neighbors.append(Neighbor(own if known else None, full, true))
    prompts = case.texts("locality.neighborhood.prompt")
    objects = case.texts("locality.neighborhood.ground_truth")
    if len(prompts) != len(objects):
        raise InputError(f"{case.where}: field locality.neighborhood: expected one ground_truth a prompt")
    neighbors += [Neighbor(None, p, o.strip()) for p, o in zip(prompts, objects, strict=True)]
    return Fact(
        case_id=case.case_id(),
        relation="",
        subject=subject,
        prompt=case.template("prompt", subject),
        target_new=case.text("target_new"),
        target_true=true,
        paraphrases=case.texts("rephrase_prompt"),
        neighbors=tuple(neighbors),
    )

"""Facts: the edit cases of a dataset, and the Parquet file that holds them (design, section 3)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from reedit.methods.protocols import PROTOCOLS
from reedit.storage import parquet

# stands where no true object is known; the published code compares with this very text (design, section 5)
NO_ANSWER = "<|endoftext|>"


@dataclass(frozen=True)
class Neighbor:
    """A neighboring fact whose object an edit should leave alone; `prompt` is its full text.

    `start`: the character at which its subject stands, which is known from where the slot stood, and is never
    searched for. `given`: the subject that the published data names, where it names another one
    (docs/subjects.md).
    """

    subject: str | None
    prompt: str
    object: str
    given: str | None = None
    start: int | None = None
    given_start: int | None = None

    @classmethod
    def of(cls, template: str, subject: str, object: str) -> "Neighbor":
        """Of a template with one ``{}`` for the subject."""
        return cls(subject, filled(template, subject), object, start=template.index("{}"))

    def end(self, protocol: str) -> int | None:
        """The character at which its subject ends; None where it has none.

        The subject is as published under `released`, as its prompt's template tells under `corrected`.
        """
        if PROTOCOLS[protocol].given_subjects and self.given is not None:
            return self.given_start + len(self.given)
        return None if self.subject is None else self.start + len(self.subject)


@dataclass(frozen=True)
class Fact:
    """One edit case: `prompt` holds one ``{}`` for the subject; targets carry no leading space."""

    case_id: int
    relation: str
    subject: str
    prompt: str
    target_new: str
    target_true: str
    paraphrases: tuple[str, ...]
    neighbors: tuple[Neighbor, ...]

    @property
    def text(self) -> str:
        """The prompt with its subject in place of the slot."""
        return filled(self.prompt, self.subject)

    @property
    def start(self) -> int:
        """The character of the text at which the subject stands."""
        return self.prompt.index("{}")

    @property
    def end(self) -> int:
        """The character of the text at which the subject ends."""
        return self.start + len(self.subject)


@dataclass(frozen=True)
class GenerationPrompts:
    """What a model goes on from where its fluency is measured; `prompts` are full texts and may repeat.

    `target_id`: of target_new, by which reference texts are found; None where the data names none.
    """

    case_id: int
    prompts: tuple[str, ...]
    target_id: str | None = None

    @classmethod
    def of(cls, fact: Fact) -> "GenerationPrompts":
        """Of a case that brings none: its own prompt and its paraphrases, each once."""
        return cls(fact.case_id, tuple(dict.fromkeys((fact.text, *fact.paraphrases))))


def filled(template: str, subject: str) -> str:
    """A template with a subject in its slot."""
    return template.replace("{}", subject, 1)


def write_facts(
    facts: Sequence[Fact], path: Path, provenance: Mapping[str, Any], together: Sequence[Sequence[int]] = ()
) -> None:
    """Write facts as Parquet, in their order, with the case_ids of those that are of one case."""
    rows = [
        asdict(fact)
        | {"paraphrases": list(fact.paraphrases), "neighbors": [asdict(n) for n in fact.neighbors]}
        for fact in facts
    ]
    known = {"together": together} if together else {}
    parquet.write(rows, path, "facts", {**provenance, **known})


def read_facts(path: Path) -> list[Fact]:
    """The facts of a Parquet file, in its order."""
    return [
        Fact(
            **row
            | {
                "paraphrases": tuple(row["paraphrases"]),
                "neighbors": tuple(Neighbor(**neighbor) for neighbor in row["neighbors"]),
            }
        )
        for row in parquet.read(path, "facts")
    ]


def read_together(path: Path | str) -> list[tuple[int, ...]]:
    """The case_ids of the facts that belong together, as one case of the data has them; none of most data."""
    return [tuple(case_ids) for case_ids in parquet.read_provenance(path).get("together", ())]


def by_fact(together: Sequence[tuple[int, ...]]) -> dict[int, tuple[int, ...]]:
    """The case of each fact that belongs to one with others, by case_id; facts alone are not in it."""
    return {one: case for case in together for one in case}


def write_generation_prompts(
    cases: Sequence[GenerationPrompts], path: Path, provenance: Mapping[str, Any]
) -> None:
    """Write what models go on from as Parquet, a row a case, in their order."""
    rows = [asdict(case) | {"prompts": list(case.prompts)} for case in cases]
    parquet.write(rows, path, "generation_prompts", provenance)


def read_generation_prompts(path: Path) -> dict[int, GenerationPrompts]:
    """The cases of a Parquet file by their case_id, in its order."""
    rows = parquet.read(path, "generation_prompts")
    return {row["case_id"]: GenerationPrompts(**row | {"prompts": tuple(row["prompts"])}) for row in rows}


def by_file(facts: Sequence[Fact], sizes: Sequence[int]) -> list[list[int]]:
    """The case_ids of each file of a dataset, whose facts follow one another; `sizes`: cases of each."""
    stops = list(accumulate(sizes))
    return [
        [fact.case_id for fact in facts[stop - size : stop]] for stop, size in zip(stops, sizes, strict=True)
    ]

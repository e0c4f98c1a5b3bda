"""From the cases of files to the facts of a dataset: what every format shares."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reedit.errors import InputError
from reedit.prepare.cases import Case, in_one_line
from reedit.prepare.facts import Fact, GenerationPrompts
from reedit.prepare.groups import Item, numbered, own_groups


@dataclass(frozen=True)
class Read:
    """What one case of a file is: its facts, which are edited together, and what it brings beside them.

    The first fact has the case's own case_id, under which its `items` stand.
    """

    facts: tuple[Fact, ...]
    items: Sequence[Item] = ()
    prompts: GenerationPrompts | None = None  # where the data has some
    dropped: int = 0  # neighbors whose subject could not be told from their text


@dataclass(frozen=True)
class Dataset:
    """The facts of one file or several, in their order."""

    facts: tuple[Fact, ...]
    sizes: tuple[int, ...]  # facts of each file, those that are left out aside
    fixed_roles: bool = False  # the file itself says which neighbor assists: each case's first
    dropped: int = 0  # neighbors whose subject could not be told from their text
    malformed: tuple[str, ...] = ()  # why each of the cases that were left out could not be read
    given: Mapping[int, GenerationPrompts] = field(default_factory=dict)  # by case, as the data has them
    items: tuple[Item, ...] = ()
    together: tuple[tuple[int, ...], ...] = ()  # case_ids of facts that one case of the file has

    @property
    def generation_prompts(self) -> list[GenerationPrompts]:
        """Those of every case, in order."""
        return [self.given.get(fact.case_id) or GenerationPrompts.of(fact) for fact in self.facts]


def read_each(
    files: Sequence[Sequence[Case]],
    make: Callable[[Case, int], Read],
    malformed: str,
    fixed_roles: bool = False,
) -> Dataset:
    """The dataset of some files, whose cases `make` reads: it gets a case and its position among all.

    With malformed: error, raises one InputError that tells of all cases that cannot be read; with drop they
    are left out. A case_id that comes twice cannot be read the second time.
    """
    found: list[list[Read]] = [[] for _ in files]
    items: list[Item] = []
    wrong: list[str] = []
    seen: set[int] = set()
    for position, (number, case) in enumerate((n, case) for n, file in enumerate(files) for case in file):
        try:
            read = make(case, position)
            _check(case, read, seen)
            of_case = list(numbered([*read.items, *own_groups(case)], read.facts[0].case_id))
        except InputError as error:
            wrong.append(str(error))
        else:
            seen.update(fact.case_id for fact in read.facts)
            found[number].append(read)
            items += of_case
    count = sum(map(len, files))
    if wrong and (malformed == "error" or len(wrong) == count):
        way = "; malformed: drop leaves such cases out" if len(wrong) < count else ""
        raise InputError(in_one_line(wrong, f"{len(wrong)} of {count} cases cannot be read{way}"))
    every = list(chain.from_iterable(found))
    return Dataset(
        facts=tuple(fact for read in every for fact in read.facts),
        sizes=tuple(sum(len(read.facts) for read in file) for file in found),
        fixed_roles=fixed_roles,
        dropped=sum(read.dropped for read in every),
        malformed=tuple(wrong),
        given={read.facts[0].case_id: read.prompts for read in every if read.prompts},
        items=tuple(items),
        together=tuple(tuple(fact.case_id for fact in read.facts) for read in every if len(read.facts) > 1),
    )


def _check(case: Case, read: Read, seen: set[int]) -> None:
    for fact in read.facts:
        if fact.case_id in seen:
            raise InputError(f"{case.where}: its case_id appears twice, expected unique case_ids")
        if fact.target_new == fact.target_true:
            raise InputError(f"{case.where}: the new and the true object are both {fact.target_new!r}")

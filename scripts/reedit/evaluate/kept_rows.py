"""What is measured of a run in every state of it, kept state by state, so that nothing is measured twice.

The rows of a state lie under a digest of all that was read for them: the model, its edited weights, what was
asked of it, and the code. So nothing there can be out of date, the unedited model's rows are every run's, and
a job that was killed, or is asked about more iterations, measures what is missing alone.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from reedit.edit.kept_weights import KeptStates, State
from reedit.errors import InputError
from reedit.jobs.forced import is_forced, made_earlier
from reedit.storage import parquet
from reedit.storage.checksums import contents
from reedit.storage.files import file_sha256
from reedit.storage.provenance import digest

Row = dict[str, Any]
Questions = TypeVar("Questions")
# what is asked, and the weights, tell all that these do
OF_A_RUN = ("trial", "layers", "eligible", "assisting")


@dataclass(frozen=True)
class KeptRows:
    """Where all jobs of a rule and model keep their rows, a file for each state.

    `model`: the prepared model's folder; `made_by`: the job's provenance.
    """

    folder: Path
    model: Path
    made_by: Mapping[str, Any]
    rule: str

    def write(
        self,
        output: Path | str,
        schema: str,
        states: KeptStates,
        asked: Callable[[State], Questions],
        measure: Callable[[Questions, int], list[Row]],
    ) -> None:
        """Write the rows of all states, one state after the other, with the column `after`.

        `asked` says what is asked in a state (plain values, and dataclasses of them); `measure`, of that and
        of k, gives its rows.
        """
        rows, afresh = [], is_forced(self.rule, [str(output)])
        loaded = self._loaded(states)
        for state in states.found():
            questions, weights = asked(state), states.file(state)
            known = [loaded, weights and file_sha256(weights), repr(questions)]
            path = self.folder / f"{digest([state.k, *known])}.parquet"
            found = None if afresh and made_earlier(path) else _read(path, schema)
            if found is None:
                states.enter(state)
                found = measure(questions, state.k)
                parquet.write(found, path, schema, self.made_by)
            rows += state.told(found)
        parquet.write(rows, output, schema, self.made_by)

    def _loaded(self, states: KeptStates) -> list[Any]:
        """The model as it is loaded, the settings, the code and the packages."""
        settings = {name: value for name, value in self.made_by.items() if name not in OF_A_RUN}
        return [settings, states.model.device.type, contents(self.model)]


def _read(path: Path, schema: str) -> list[Row] | None:
    """The rows of a state; None where there are none, or where the file was damaged since."""
    if not path.exists():
        return None
    try:
        rows = parquet.read(path, schema)
    except InputError as error:
        logging.getLogger("reedit").warning("%s; measured again", error)
        return None
    logging.getLogger("reedit").info("%d rows were measured before: %s", len(rows), path)
    return rows

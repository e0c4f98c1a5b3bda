"""Jobs know what a call of the workflow forces."""

from types import SimpleNamespace
from typing import Any

import pytest

from reedit.jobs.forced import FORCED, is_forced, tell_forced

OUTPUT = "results/edits/m/d/memit/trial1/targets.parquet"


def asked(**named: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"forceall": False, "forcetargets": False, "forcerun": (), "targets": ()} | named
    )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (asked(), False),
        (asked(targets={OUTPUT}), False),
        (asked(forceall=True), True),
        (asked(forcerun={"edit_facts"}), True),
        (asked(forcerun={"score_edits"}), False),
        (asked(forcerun={OUTPUT}), True),
        (asked(forcetargets=True, targets={OUTPUT}), True),
        (asked(forcetargets=True, targets={"tables"}), False),
    ],
)
def test_what_is_forced(call: SimpleNamespace, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: dict[str, str] = {}
    tell_forced(call, environment)
    tell_forced(asked(forceall=True), environment)  # Snakemake's own call for a job, which forces it
    monkeypatch.setenv(FORCED, environment[FORCED])
    assert is_forced("edit_facts", [OUTPUT, OUTPUT.replace("targets", "iterations")]) is expected


def test_outside_the_workflow_nothing_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORCED, raising=False)
    assert not is_forced("edit_facts", [OUTPUT])

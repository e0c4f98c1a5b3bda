"""With NO_SKIPS in the environment a test that is skipped has failed, unless its reason cannot be helped."""

import os
from collections.abc import Generator

import pytest

ACCEPTED = (
    "../shared",  # published data and vocabularies, which may not be committed
    "there is a GPU",
    "can be mounted here",  # in a container without that right
    "make test-downstream",  # has an environment of its own
    "make test-older",  # likewise
    "does not know",  # an architecture that transformers 4 has not
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if os.environ.get("NO_SKIPS") and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        if not any(accepted in reason for accepted in ACCEPTED):
            report.outcome, report.longrepr = "failed", f"{reason} (NO_SKIPS is set: tests/no_skips.py)"
    return report

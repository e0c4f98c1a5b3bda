"""What .ci/run relies on: a test that is skipped for want of something to install fails there."""

import os
import subprocess
import sys
from pathlib import Path

import no_skips
import pytest

TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no browser")
def test_marked(): pass

def test_called():
    pytest.skip("no network")

@pytest.mark.skipif(True, reason="needs ../shared/data")
def test_accepted(): pass

@pytest.mark.xfail
def test_expected_to_fail(): assert False
"""


@pytest.mark.parametrize(
    ("set_to", "told"), [("1", "1 failed, 1 skipped, 1 xfailed, 1 error"), ("", "3 skipped, 1 xfailed")]
)
def test_a_skip_fails_where_none_may_be_unless_it_cannot_be_helped(
    set_to: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    environment = os.environ | {"NO_SKIPS": set_to, "PYTHONPATH": str(Path(no_skips.__file__).parent)}
    command = [sys.executable, "-m", "pytest", "-p", "no_skips", "-p", "no:cacheprovider", "-q", "."]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told in done.stdout, done.stdout
    assert ("Skipped: no browser (NO_SKIPS" in done.stdout) == bool(set_to)

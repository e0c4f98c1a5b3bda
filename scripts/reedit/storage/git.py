"""What git says of a folder."""

import subprocess
from pathlib import Path


def said_by_git(folder: Path, *arguments: str) -> str | None:
    """What git prints, without the last line's end; None where it refuses (`folder` is no repository, for
    example), or there is no git to ask.

    said_by_git(house, "rev-parse", "HEAD")
    """
    asked = ["git", "-C", str(folder), *arguments]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.rstrip("\n")
    except (OSError, subprocess.CalledProcessError):
        return None

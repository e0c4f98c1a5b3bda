"""What machines lack: in containers and on compute nodes a home to write to, in terminals some signs."""

import io
import os
import pwd
import stat
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

# what says where libraries keep things, and where in a home that is by default
PLACES = {"XDG_CACHE_HOME": ".cache", "MPLCONFIGDIR": ".config/matplotlib"}
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")  # where getpass looks for a user's name


def suit_machine() -> None:
    """Have this process, and what it starts, do without. To be called before a library asks for a home."""
    provide_home(os.environ)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what it cannot print is no reason to end
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="strict")  # what it cannot read is no text


def provide_home(environment: MutableMapping[str, str]) -> None:
    """Have an environment name a home, writable places for caches, and a user, as far as it lacks them.

    What is there and may be written stays as it is. What takes its place lies in this user's own folder in
    the temporary directory.
    """
    listed = _listed()
    home = Path(environment.get("HOME") or (listed.pw_dir if listed else "/nonexistent"))
    if not os.path.isdir(home):  # of os.path: a folder that may not be looked into is no error there
        home = _spare()
        environment["HOME"] = str(home)
    for name, place in PLACES.items():
        if not _writable(Path(environment.get(name) or home / place)):
            environment[name] = str(_spare() / place)
    if not listed and not any(map(environment.get, NAMES)):
        environment["USER"] = str(os.getuid())


def _listed() -> pwd.struct_passwd | None:
    """This user's entry in the list of users, which a container may not have."""
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        return None


def _writable(path: Path) -> bool:
    """Whether a folder may be written to, or made."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if os.path.exists(folder))
    return os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK)


def _spare() -> Path:
    """This user's folder in the temporary directory; where somebody else has one of that name, a new one."""
    folder = Path(tempfile.gettempdir()) / f"reedit-home-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            return folder
        return Path(tempfile.mkdtemp(prefix=f"{folder.name}-"))
    return folder

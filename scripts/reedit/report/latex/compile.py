"""From a .tex to a PDF, without letting the document run or read anything else."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from reedit.errors import InputError
from reedit.storage.files import atomic

MISSING = (
    "no LaTeX engine found: install latexmk and texlive-latex-recommended (or tectonic); "
    "the tables are in results/tables as .tex, .csv and .md"
)
STEM = "document"
TIMEOUT = 180.0  # seconds for a round
ROUNDS = 5  # of an engine that ends while its tables' widths still change


def engine() -> list[str]:
    """The command that compiles document.tex in the current folder: latexmk with pdflatex, else tectonic.

    Raises InputError if neither is installed.
    """
    if shutil.which("latexmk") and shutil.which("pdflatex"):
        # -norc: a latexmkrc is a program
        options = ["-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error"]
        return ["latexmk", "-norc", "-pdf", *(f"-latexoption={option}" for option in options), f"{STEM}.tex"]
    if shutil.which("tectonic"):
        return ["tectonic", "--untrusted", "--keep-logs", f"{STEM}.tex"]
    raise InputError(MISSING)


def compile_pdf(
    tex: str,
    pdf: Path | str,
    log: Path | str,
    files: Mapping[str, Path | str] | None = None,
) -> list[float]:
    """Compile the document `tex` to `pdf` in a temporary folder; the engine's log is kept at `log`.

    `files` maps the names the document uses for figures to their paths. Returns the widths in pt by which
    lines stick out into the margin. Raises InputError with TeX's first error where it fails or takes more
    than TIMEOUT.
    """
    command = engine()
    settings = {
        "openin_any": "p",
        "openout_any": "p",
        "shell_escape": "f",
        "SOURCE_DATE_EPOCH": "0",  # the only date the document sees: the same input gives the same bytes
        "FORCE_SOURCE_DATE": "1",
        "max_print_line": "1000",  # or the log would be wrapped in the middle of words
    }
    with tempfile.TemporaryDirectory(prefix="reedit-") as folder:
        (Path(folder) / f"{STEM}.tex").write_text(tex, encoding="utf-8")
        for name, path in (files or {}).items():
            if not Path(path).is_file():
                raise InputError(f"{path}: no such figure")
            shutil.copyfile(path, Path(folder) / name)
        written = Path(folder) / f"{STEM}.log"
        for again in range(ROUNDS):
            force = ["-g"] * (again > 0 and command[0] == "latexmk")
            status, output = _run([*command, *force], folder, {**os.environ, **settings})
            text = written.read_text(encoding="utf-8", errors="replace") if written.is_file() else output
            # latexmk overlooks an .aux that changed within a second and kept its size
            if status != 0 or not re.search(r"Rerun (LaTeX|to get)", text):
                break
        with atomic(log) as temporary:
            temporary.write_text(text, encoding="utf-8")
        made = Path(folder) / f"{STEM}.pdf"
        if status is None:
            raise InputError(f"{pdf}: {command[0]} took more than {TIMEOUT:.0f} s; see {log}")
        if status != 0 or not made.is_file():
            raise InputError(f"{pdf}: {command[0]} failed: {first_error(text)}; see {log}")
        with atomic(pdf) as temporary:
            shutil.copyfile(made, temporary)
    return overfull(text)


def first_error(log: str) -> str:
    """TeX's first error in a log, "Undefined control sequence. l.12 \\foo", or the log's last line."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("! "):
            where = next((other for other in lines[number:] if re.match(r"l\.\d+", other)), "")
            return f"{line[2:]} {where}".strip()
    errors = [line for line in lines if line.startswith("error:")]  # tectonic's
    return (errors or [line for line in lines if line.strip()] or ["it wrote no log"])[0 if errors else -1]


def overfull(log: str) -> list[float]:
    """The widths in pt of a log's overfull lines."""
    return [float(width) for width in re.findall(r"^Overfull \\hbox \(([\d.]+)pt", log, re.MULTILINE)]


def _run(command: list[str], folder: str, environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Exit status (None after a timeout, with all the command started gone) and what it printed."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT)
        return process.returncode, output.decode(errors="replace")
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            return None, output.decode(errors="replace")
        raise

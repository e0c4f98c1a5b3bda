"""python -m reedit: check and tune a model, edit facts of it, compare two on prompts; no workflow."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the working directory, where a random.py would stand for the library

import argparse
import logging
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from reedit.errors import InputError, is_count, is_unicode
from reedit.jobs.job import exit_on_signals, named_file
from reedit.jobs.machine import suit_machine
from reedit.settings.dtypes import DTYPES

COMPARE = """\
A model is a folder that transformers loads (a prepared one, results/models/M, or
an exported one), or a run of the workflow, results/edits/M/DATASET/METHOD/trial1,
after the iteration that the proposed rule selects; @3 behind it: after the third.

Without --prompt, each line that is typed, or piped in, is a prompt.
"""
EDIT = """\
FACTS is a JSON list of objects, such as

  [{"prompt": "{} is produced by", "subject": "iPad", "target_new": "Honda"}]

which may also have target_true (a text), paraphrases (texts) and neighbors
(objects with prompt, subject and object). The edit is repeated until the paper's
criterion is met, |delta p| <= 1, or --iterations are done.

Exit status 1: nothing was written, and one line says why. 3: OUT is written, but
not every fact is what the edited model says; each that is not has a line.
"""
NOT_HELD = 3  # exit status: edited, but not every edit holds


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m reedit", description="Edits of a language model, without the workflow."
    )
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    _check_command(commands)
    _tune_command(commands)
    for command in (_compare_command(commands), _edit_command(commands)):
        command.add_argument(
            "--tokens", type=_count, default=20, metavar="N", help="of a continuation (default: 20)"
        )
        command.add_argument(
            "--separator",
            metavar="TEXT",
            help="between prompt and target (default: as a run has it, or a space)",
        )
        command.add_argument(
            "--chat", action="store_true", default=None, help="through the model's chat template"
        )
    return top


def _check_command(commands: "argparse._SubParsersAction") -> None:
    check = commands.add_parser(
        "check",
        help="whether a model can be edited, and facts with it",
        description="Whether MODEL can be edited: what its folder says, then one edit of a small fact by the"
        " naive way and by the engine, which have to agree. The exit status is 0 where it can.",
    )
    check.add_argument("model", metavar="MODEL", type=_path, help="a folder that transformers loads")
    check.add_argument(
        "--facts", type=_path, metavar="FILE", help="tell which of these facts can be edited with it"
    )
    check.set_defaults(run=run_check)


def _tune_command(commands: "argparse._SubParsersAction") -> None:
    tune = commands.add_parser(
        "tune",
        help="find a model's layers and hyperparameters",
        description="Find layers and hyperparameters of an algorithm on MODEL, within a budget, and write"
        " them as OUT/ALGORITHM.yaml, with a page that says why. The same command goes on where it was cut"
        " off.",
    )
    tune.add_argument("model", metavar="MODEL", type=_path, help="a folder that transformers loads")
    tune.add_argument("--out", type=_path, default=Path("tuned"), metavar="OUT", help="default: tuned")
    tune.add_argument("--algorithm", default="memit", metavar="NAME", help="default: memit")
    tune.add_argument("--facts", type=_path, metavar="FILE", help="default: those of config.yaml")
    tune.add_argument(
        "--corpus",
        type=_path,
        metavar="TEXTS",
        help="for the second moments, one text a line (default: config.yaml's, which is fetched)",
    )
    tune.add_argument("--minutes", type=_minutes, metavar="M", help="at most (default: config.yaml's, 30)")
    tune.add_argument("--edits", type=_count, metavar="N", help="at most so many are optimised in all")
    tune.add_argument("--at-once", type=_count, metavar="N", help="facts edited together (default: 24)")
    tune.add_argument("--dtype", choices=DTYPES, help="of the model's numbers (default: float32)")
    tune.add_argument(
        "--config", type=_path, action="append", default=[], metavar="FILE", help="an overlay of config.yaml"
    )
    tune.set_defaults(run=run_tune)


def _compare_command(commands: "argparse._SubParsersAction") -> argparse.ArgumentParser:
    compare = commands.add_parser(
        "compare",
        help="what two models say to prompts, side by side",
        description=f"What two models say to prompts, side by side.\n\n{COMPARE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("before", metavar="BEFORE", help="a model")
    compare.add_argument("after", metavar="AFTER", help="another")
    compare.add_argument(
        "--prompt", action="append", type=_text, metavar="TEXT", help="may be given several times"
    )
    compare.add_argument(
        "--target", type=_text, metavar="TEXT", help="tell its probability and perplexity after each prompt"
    )
    compare.add_argument("--dtype", choices=DTYPES, help="of both models' numbers (default: AFTER's own)")
    compare.set_defaults(run=run_compare)
    return compare


def _edit_command(commands: "argparse._SubParsersAction") -> argparse.ArgumentParser:
    edit = commands.add_parser(
        "edit",
        help="edit a few facts of a model on this machine",
        description=f"Edit a few facts of a model, and write the edited one as a folder.\n\n{EDIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    edit.add_argument("model", metavar="MODEL", type=_path, help="a folder that transformers loads")
    edit.add_argument("facts", metavar="FACTS", type=_path, help="a JSON file")
    edit.add_argument("out", metavar="OUT", type=_path, help="the folder to be made")
    edit.add_argument(
        "--algorithm",
        default="memit",
        metavar="NAME",
        help="a method of config.yaml: memit (default), pmet, rome, na_memit, ...",
    )
    edit.add_argument(
        "--iterations", type=_count, metavar="N", help="at most (default: 5; without targets: 1)"
    )
    edit.add_argument(
        "--hyperparameters",
        type=_path,
        metavar="FILE",
        help="YAML with EasyEdit's keys (default: config.yaml's, by the folder's name)",
    )
    moments = edit.add_mutually_exclusive_group()
    moments.add_argument(
        "--moments", type=_path, metavar="FOLDER", help="second moments, results/moments/MODEL/CORPUS"
    )
    moments.add_argument(
        "--corpus",
        type=_path,
        metavar="TEXTS",
        help="collect them over a JSON list of texts, or one text a line",
    )
    edit.add_argument(
        "--max-tokens", type=_count, default=256, metavar="N", help="of each text of --corpus (default: 256)"
    )
    edit.add_argument("--protocol", choices=("corrected", "released"), help="default: config.yaml's")
    edit.add_argument(
        "--skip", action="store_true", help="leave out the facts that cannot be edited, and name them"
    )
    edit.add_argument(
        "--subject-end",
        choices=("exact", "published"),
        help="where an edit is put when a token crosses the subject's end (default: the protocol's)",
    )
    edit.add_argument(
        "--first-token",
        choices=("bare", "prefixed"),
        default="bare",
        help="prefixed edits a subject that is the first token of all behind a prefix",
    )
    edit.add_argument(
        "--dtype", choices=DTYPES, help="of the model's numbers (default: config.yaml's, or float32)"
    )
    edit.add_argument(
        "--config", type=_path, action="append", default=[], metavar="FILE", help="an overlay of config.yaml"
    )
    edit.set_defaults(run=run_edit)
    return edit


def _path(text: str) -> Path:
    """A path, whose ~ a shell may have left to us."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # of a user who has no folder
        return Path(text)


def _count(text: str) -> int:
    if not is_count(text):
        found = text if len(text) < 20 else f"{text[:20]}..."
        raise argparse.ArgumentTypeError(f"found {found!r}, expected a whole number from 1 to 999999999")
    return int(text)


def _minutes(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number above 0")
    return found


def _text(text: str) -> str:
    if not is_unicode(text):  # bytes that Python could not read
        raise argparse.ArgumentTypeError(f"found {text!r}, expected text in {sys.getfilesystemencoding()}")
    return text


def run_check(args: argparse.Namespace) -> int:
    from reedit.use.check import check

    reasons = check(args.model, args.facts, lambda line: print(line, flush=True))
    for reason in reasons:
        print(f"error: {reason}", file=sys.stderr)
    return int(bool(reasons))


def run_tune(args: argparse.Namespace) -> int:
    from reedit.report.tables.tuning import held_out
    from reedit.use.tune_model import TuneRequest, tune_model

    names = ("model", "out", "algorithm", "facts", "corpus", "minutes", "edits", "at_once", "dtype")
    given = {name: getattr(args, name) for name in names}
    tuned = tune_model(TuneRequest(**given, configurations=args.config))
    print(*held_out(tuned), "", sep="\n")
    print(f"{args.out / args.algorithm}.yaml: found; {args.algorithm}.md beside it says why", flush=True)
    return 0


def run_compare(args: argparse.Namespace) -> int:
    from reedit.prepare.cases import tidy, tidy_prompt
    from reedit.use.before_after import (  # torch takes seconds: not for --help
        Question,
        ask,
        heading,
        side_by_side,
    )
    from reedit.use.model_places import find_model

    targets = (tidy(args.target),) if args.target else ()
    places = [find_model(args.before), find_model(args.after)]
    dtype = args.dtype or places[1].dtype
    given = {"separator": args.separator, "chat": args.chat}
    told = next((place.run.wording for place in reversed(places) if place.run), {})
    wording = {**told, **{name: value for name, value in given.items() if value is not None}}
    models = [place.load(dtype, wording) for place in places]
    width = _width()
    for label, place in zip(("before", "after"), places, strict=True):
        print(f"{label + ':':8}{place.name}")
    print("", *heading(width), sep="\n", flush=True)
    for prompts in [args.prompt] if args.prompt else _typed():
        questions = [Question(tidy_prompt(prompt), targets) for prompt in prompts]
        answers = [ask(model, questions, args.tokens) for model in models]
        print(*side_by_side(questions, *answers, width), sep="\n", flush=True)
    return 0


def _typed() -> Iterator[list[str]]:
    """The lines of standard input, one by one, asked for where a person types them."""
    if not sys.stdin.isatty():
        try:
            yield from ([line.strip()] for line in sys.stdin if line.strip())
        except UnicodeDecodeError as error:
            raise InputError(
                f"standard input: not {error.encoding}; PYTHONIOENCODING says what it is"
            ) from error
        return
    print("A prompt a line; Ctrl-D ends.", file=sys.stderr)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return
        if line:
            yield [line]


def run_edit(args: argparse.Namespace) -> int:
    from reedit.use.before_after import heading, side_by_side
    from reedit.use.small_edit import Request, edit_model

    request = Request(
        model=args.model,
        facts=args.facts,
        out=args.out,
        method=args.algorithm,
        iterations=args.iterations,
        configurations=args.config,
        hyperparameters=args.hyperparameters,
        moments=args.moments,
        corpus=args.corpus,
        max_tokens=args.max_tokens,
        protocol=args.protocol,
        subject_end=args.subject_end,
        first_token=args.first_token,
        separator=" " if args.separator is None else args.separator,
        chat=args.chat,
        skip=args.skip,
        dtype=args.dtype,
    )
    edited = edit_model(request, args.tokens)
    width = _width()
    print(*heading(width), *side_by_side(edited.questions, edited.before, edited.after, width), sep="\n")
    print(f"{args.out}: the model after {edited.k} iteration{'s' * (edited.k > 1)}", flush=True)
    for line in edited.failed:
        print(f"error: does not hold: {line}", file=sys.stderr)
    return NOT_HELD if edited.failed else 0


def _width() -> int:
    return min(shutil.get_terminal_size((120, 24)).columns, 160)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status; what is wrong with the input, or the disk, is one line."""
    suit_machine()
    args = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("reedit").setLevel(logging.INFO)  # progress
    try:
        return args.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if (place := named_file(error)) is None:
            raise
        print(f"error: {place}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    exit_on_signals()
    sys.exit(main())

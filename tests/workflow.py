"""The workflow run as its users run it: a copy of it, an experiment folder of its own, and snakemake."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from tiny import sentences, tiny_corpus, tiny_facts

from reedit.prepare.facts import read_facts

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOW = ("Snakefile", "config.yaml", "envs", "profiles", "reports/captions", "reports/templates")
WORKFLOW += ("resources", "rules", "scripts")
LONG = ("edit_facts", "score_edits", "check_collapse", "measure_norms", "generate_answers", "generate_texts")
CASES = 12
HAS_ENGINE = (shutil.which("latexmk") and shutil.which("pdflatex")) or shutil.which("tectonic")
Config = dict[str, Any]


def copy_workflow(folder: Path) -> Path:
    """What of the repository a user needs to run it, in a folder where tests may change it."""
    for name in WORKFLOW:
        source, target = REPOSITORY / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def told_facts() -> list[dict]:
    """Tiny facts whose targets have an id; the first one has prompts to go on from, twice the same."""
    cases = tiny_facts()[:CASES]
    for case in cases:
        target = case["requested_rewrite"]["target_new"]
        target["id"] = f"the {target['str']}"
    cases[0]["generation_prompts"] = ["Kyoto is a city"] * 2
    return cases


def references() -> list[dict]:
    """Reference texts of each target: what the tiny world says of it."""
    targets = {case["requested_rewrite"]["target_new"]["str"] for case in told_facts()}
    return [
        {
            "relation_id": "country",
            "target_id": f"the {target}",
            "name": target,
            "samples": [{"text": line} for line in sentences() if line.endswith(target)],
        }
        for target in sorted(targets)
    ]


def make_inputs(folder: Path, model: Path) -> Path:
    """All that is fetched: a tiny `model`, which knows its facts, the facts, a corpus and texts."""
    folder.mkdir(parents=True)
    shutil.copytree(model, folder / "model")
    (folder / "facts.json").write_text(json.dumps(told_facts()))
    (folder / "references.json").write_text(json.dumps(references()))
    (folder / "corpus.txt").write_text(tiny_corpus())
    texts = [{"Text": line} for line in tiny_corpus().splitlines()[:4]]
    (folder / "texts.json").write_text(json.dumps(texts))
    return folder


def tiny_config(inputs: Path) -> Config:
    """An overlay of the repository's configuration: tiny definitions of all, and two entries of runs."""
    hyperparameters = {
        "layers": [1, 2, 3],
        "v_lr": 0.5,
        "v_num_grad_steps": 8,
        "clamp_norm_factor": 4,
        "v_weight_decay": 0.001,
        "kl_factor": 0.0625,
        "mom2_update_weight": 20,
    }
    prefixes = {"count": 5, "tokens": 4, "seed": 0}
    tiny = {"model": "tiny", "dataset": "facts", "corpus": "lines", "stop": "none", "eligible": True}
    return {
        "sources": {
            "tiny-model": {"kind": "folder", "path": str(inputs / "model")},
            "tiny-facts": {"kind": "file", "path": str(inputs / "facts.json")},
            "tiny-corpus": {"kind": "file", "path": str(inputs / "corpus.txt")},
            "tiny-texts": {"kind": "file", "path": str(inputs / "texts.json")},
            "tiny-references": {"kind": "file", "path": str(inputs / "references.json")},
        },
        "models": {
            "tiny": {"source": "tiny-model", "dtype": "float32", "prefixes": prefixes},
        },
        "datasets": {
            "facts": {
                "format": "counterfact",
                "source": "tiny-facts",
                "references": {"source": "tiny-references"},  # read where fluency is asked for alone
            }
        },
        "corpora": {
            "lines": {"format": "lines", "source": "tiny-corpus", "samples": 40, "max_tokens": 32},
        },
        "methods": {"memit_released": {"algorithm": "memit", "protocol": "released"}},
        "hyperparameters": {
            "memit": {"tiny": hyperparameters},
            "pmet": {"tiny": hyperparameters},
            "rome": {"tiny": hyperparameters | {"layers": [2]}},
        },
        "collapse": {"source": "tiny-texts"},
        "runs": [
            tiny | {"methods": ["memit", "na_memit"], "edits": "all", "iterations": 3},
            tiny | {"methods": ["memit_released"], "edits": 3, "trials": 2, "iterations": 1},
        ],
    }


def changed(config: Config, **values: Any) -> Config:
    """A copy with other values; a key may be a path, its parts joined by two underscores."""
    config = deepcopy(config)
    for path, value in values.items():
        *parents, last = path.split("__")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return config


@dataclass(frozen=True)
class Outcome:
    """What a snakemake call gave: its exit status and what the user saw."""

    status: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """The job statistics of the call: how many jobs of each rule."""
        table = re.search(r"^job +count\n-+  -+\n(.*?)^total", self.output, re.MULTILINE | re.DOTALL)
        return {n: int(c) for n, c in re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE)} if table else {}

    @property
    def errors(self) -> list[str]:
        """The workflow's own error lines, each once however often it is shown."""
        found = re.findall(r"^(?:\[.*\]|.* ERROR) error: (.*)$|^(config: .*)$", self.output, re.MULTILINE)
        return list(dict.fromkeys(job or configuration for job, configuration in found))

    @property
    def nothing_to_do(self) -> bool:
        return self.status == 0 and "Nothing to be done" in self.output


@dataclass
class Experiment:
    """A working directory, the workflow it is run with, and its overlay of the configuration."""

    folder: Path
    house: Path
    config: Config
    environment: dict[str, str] = field(default_factory=dict)
    rule_prefix: str = ""  # of the rules' names, where another workflow uses them
    python: str | None = (
        None  # what `run` has its scripts started with (jobs/warm.py); None: Python, as usual
    )

    def copy(self, folder: Path) -> "Experiment":
        """The same with all its results, at another place; times are kept."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return replace(self, folder=folder, config=deepcopy(self.config), environment=dict(self.environment))

    def command(self, *arguments: str, config: Config | None = None, python: str | None = None) -> list[str]:
        overlay = self.folder.with_name(f"{self.folder.name}.yaml")
        overlay.write_text(yaml.safe_dump(config or self.config, sort_keys=False))
        given = f"import sys; sys.executable = {python!r}; from snakemake.cli import main; main()"
        command = [sys.executable, *(["-c", given] if python else ["-m", "snakemake"])]
        command += ["--snakefile", str(self.house / "Snakefile")]
        command += ["--directory", str(self.folder), "--cores", "2", "--configfile", str(overlay)]
        one_thread = [f"{self.rule_prefix}{rule}=1" for rule in LONG]  # so that two of them run at a time
        return [*command, "--set-threads", *one_thread, "--resources", "gpu=2", "--nocolor", *arguments]

    def start(
        self, *arguments: str, config: Config | None = None, python: str | None = None
    ) -> subprocess.Popen:
        """A snakemake call in a process group of its own, as a terminal starts it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ) | {"PYTHONPATH": str(self.house / "scripts")} | self.environment
        return subprocess.Popen(
            self.command(*arguments, config=config, python=python),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, config: Config | None = None) -> Outcome:
        """A snakemake call from its start to its end."""
        process = self.start(*arguments, config=config, python=self.python)
        output, _ = process.communicate(timeout=600)
        return Outcome(process.returncode, output)

    def dry_run(self, *arguments: str, config: Config | None = None) -> Outcome:
        return self.run("--dry-run", *arguments, config=config)

    def run_killed(self, when: Callable[[], bool], *arguments: str) -> Outcome:
        """A call that loses power: it and all it started are killed once `when` is true."""
        process = self.start(*arguments)
        deadline = time.monotonic() + 120
        while not when() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=60)
        return Outcome(process.returncode, output)

    def path(self, place: str) -> Path:
        return self.folder / "results" / place

    def log(self, place: str) -> str:
        return (self.folder / "results/logs" / place).read_text()

    def contents(self, *places: str) -> Mapping[str, str]:
        """sha256 of every file under places in results/, by its path there."""
        root = self.path("")
        found = [f for place in places for f in sorted(self.path(place).rglob("*")) if f.is_file()]
        return {
            str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in found
            if f.name[0] != "."
        }


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    """A file with `old` replaced by `new` inside the block, and as it was after it."""
    text = file.read_text()
    assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times, expected once"
    try:
        file.write_text(text.replace(old, new))
        yield
    finally:
        file.write_text(text)


def without(
    *names: str, keep: Sequence[str] = ("bash", "sh", "env", "rm", "mkdir", "cat"), folder: Path
) -> str:
    """A PATH with a few ordinary commands and none of `names`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in keep:
        found = shutil.which(name)
        if found and name not in names:
            (folder / name).symlink_to(found)
    return str(folder)


def rows(path: Path) -> list[dict]:
    return pq.read_table(path).to_pylist()


def provenance(path: Path) -> dict:
    return json.loads(pq.read_schema(path).metadata[b"reedit"])


def timeless(path: Path) -> tuple[list[dict], dict]:
    """A table without what measures the machine, and its provenance."""
    kept = [
        {name: value for name, value in row.items() if not re.match("seconds|peak_memory", name)}
        for row in rows(path)
    ]
    return kept, provenance(path)


def verify(experiment: Experiment, *arguments: str) -> subprocess.CompletedProcess:
    """What `make verify` runs."""
    overlay = experiment.folder.with_name(f"{experiment.folder.name}.yaml")
    script = experiment.house / "scripts/verify_results.py"
    command = [sys.executable, script, experiment.house / "config.yaml", overlay, *arguments]
    environment = os.environ | {"PYTHONPATH": str(experiment.house / "scripts")}
    return subprocess.run(
        command, cwd=experiment.folder, env=environment, capture_output=True, text=True, check=False
    )


def simple_facts(experiment: Experiment, run: str, folder: Path) -> Path:
    """The facts of a run in its order, as a user would write them."""
    facts = {fact.case_id: fact for fact in read_facts(experiment.path("facts/facts.parquet"))}
    targets = rows(experiment.path(f"edits/{run}/targets.parquet"))
    listed = [
        {
            "prompt": fact.prompt,
            "subject": fact.subject,
            "target_new": fact.target_new,
            "target_true": fact.target_true,
        }
        for fact in (facts[row["case_id"]] for row in targets if row["k"] == 1)
    ]
    (folder / "mine.json").write_text(json.dumps(listed))
    return folder / "mine.json"


def hand_edit(experiment: Experiment, run: str, folder: Path, *more: str) -> list[str]:
    """The command that edits a run's facts by its method and its experiment's configuration."""
    facts = simple_facts(experiment, run, folder)
    overlay = experiment.folder.with_name(f"{experiment.folder.name}.yaml")
    command = ["edit", str(experiment.path("models/tiny")), str(facts), str(folder / "edited")]
    return [*command, "--config", str(overlay), "--algorithm", run.split("/")[2], "--tokens", "3", *more]

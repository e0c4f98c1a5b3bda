"""What the definitions of a configuration say of each other."""

import re
from collections.abc import Iterable, Iterator

from reedit.errors import InputError, nearest
from reedit.evaluate.judge_plugins import package_of, plugin_of
from reedit.settings.definitions import Config, Corpus, Download, Entry, Hub, ReleasedStatistics

# a part of an address's query that by its name lets someone in
SECRET = re.compile(
    r"(?i)[?&;]((?:[^=&;]*[_-])?(?:key|sig|auth)|"
    r"[^=&;]*(?:token|secret|signature|passw|credential|(?:api|access).?key)[^=&;]*)="
)


def check_references(config: Config) -> None:
    """Raise InputError if a definition names something that is not defined, or contradicts another one."""
    for path, kind, name, known in _references(config):
        if name not in known:
            raise InputError(f"config: {path}: unknown {kind} {name!r}{nearest(name, known)}")
    if plugin := plugin_of(config.generation.judge):
        package_of(plugin, "config: generation.judge")  # refused where none is installed
    for name, source in config.sources.items():
        if isinstance(source, Download) and (secret := SECRET.search(source.url)):
            raise InputError(f"config: sources.{name}.url: {secret[1]}= in it, expected no secret")
        if isinstance(source, Hub):
            _check_files(name, source)
    for name, corpus in config.corpora.items():
        _check_corpus(f"corpora.{name}", corpus, config)
    for index, run in enumerate(config.runs):
        _check_entry(f"config: runs[{index}]", run, config)


def _references(config: Config) -> Iterator[tuple[str, str, str, Iterable[str]]]:
    """Every name of a definition: where it stands, what it is of, itself, and the names that there are."""
    sources, models, datasets = config.sources, config.models, config.datasets
    for name, model in models.items():
        yield f"models.{name}.source", "source", model.source, sources
        if model.tokenizer:
            yield f"models.{name}.tokenizer.source", "source", model.tokenizer.source, sources
    for name, dataset in datasets.items():
        for source in dataset.sources:
            yield f"datasets.{name}.source", "source", source, sources
        if dataset.references:
            yield f"datasets.{name}.references.source", "source", dataset.references.source, sources
    for name, corpus in config.corpora.items():
        yield f"corpora.{name}.source", "source", corpus.source, sources
    yield "collapse.source", "source", config.collapse.source, sources
    for section, definitions in (("models", models), ("methods", config.methods)):
        for name, definition in definitions.items():
            prefixes = getattr(definition, "prefixes", None)
            if prefixes and prefixes.source:
                yield f"{section}.{name}.prefixes.source", "source", prefixes.source, sources
    for name, method in config.methods.items():
        if method.against is not None:
            yield f"methods.{name}.against", "method", method.against, config.methods
    for index, pair in enumerate(config.report.eligible):
        yield f"report.eligible[{index}].model", "model", pair.model, models
        yield f"report.eligible[{index}].pool", "dataset", pair.pool, datasets
        yield f"report.eligible[{index}].published", "dataset", pair.published, datasets
    if config.tuning.dataset is not None:
        yield "tuning.dataset", "dataset", config.tuning.dataset, datasets
    if config.tuning.corpus is not None:
        yield "tuning.corpus", "corpus", config.tuning.corpus, config.corpora
    if config.generation.judge is not None and not plugin_of(config.generation.judge):
        yield "generation.judge", "model", config.generation.judge, models
    for index, run in enumerate(config.runs):
        yield f"runs[{index}].model", "model", run.model, models
        yield f"runs[{index}].dataset", "dataset", run.dataset, datasets
        yield f"runs[{index}].corpus", "corpus", run.corpus, config.corpora
        for method in run.methods:
            yield f"runs[{index}].methods", "method", method, config.methods


def _check_files(name: str, source: Hub) -> None:
    """Raise InputError where a dataset on the hub names no files, or a checksum is of none of them."""
    if source.repo_type == "dataset" and source.files is None:
        raise InputError(f"config: sources.{name}.files: missing, expected a value")
    for file in source.sha256:
        if file not in (known := source.files or []):
            raise InputError(
                f"config: sources.{name}.sha256: {file} is not one of its files{nearest(file, known)}"
            )


def _check_corpus(path: str, corpus: Corpus, config: Config) -> None:
    """Raise InputError where a corpus on the hub names no files, or released statistics no texts."""
    source, released = config.sources[corpus.source], isinstance(corpus, ReleasedStatistics)
    if (released or corpus.format == "hub") and isinstance(source, Hub) and source.files is None:
        raise InputError(f"config: sources.{corpus.source}.files: missing, expected by {path}")
    texts = [name for name, other in config.corpora.items() if not isinstance(other, ReleasedStatistics)]
    if released and corpus.check not in texts:
        hint = nearest(corpus.check, texts)
        raise InputError(f"config: {path}.check: {corpus.check!r} is no corpus of texts{hint}")


def _check_entry(where: str, run: Entry, config: Config) -> None:
    """Raise InputError where an entry's numbers do not go together."""
    if run.extend_to is not None and run.extend_to < run.iterations:
        raise InputError(f"{where}.extend_to: found {run.extend_to}, expected at least iterations")
    files = len(config.datasets[run.dataset].sources)
    if run.edits == "all" and run.trials not in (1, files):
        expected = "1" if files == 1 else f"1 or {files}, the dataset's sources,"
        raise InputError(f"{where}.trials: found {run.trials}, expected {expected} with edits: all")

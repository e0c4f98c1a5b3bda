"""Where the configuration's sources lie on this machine, and whether what lies there is good."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.jobs.params import plain
from reedit.prepare.datasets import load_dataset
from reedit.prepare.reading import Dataset
from reedit.prepare.reference_texts import read_references
from reedit.settings.definitions import Config, LocalSource
from reedit.storage.files import file_sha256, visible_files


class SourceFiles:
    """The files of a configuration's sources; `house` is the workflow's own folder."""

    def __init__(self, config: Config, house: Path) -> None:
        self.config = config
        self.house = house

    def found(self, path: str) -> Path:
        """A path of the configuration as it stands, or in the workflow's folder where it is only there.

        A ~ in front is the user's home, as in a shell.
        """
        path = os.path.expanduser(path)
        own = self.house / path
        return own if os.path.exists(own) and not os.path.exists(path) else Path(path)

    def of_dataset(self, dataset: str) -> list[str]:
        """Names of the sources whose files make a dataset, in their order."""
        return self.config.datasets[dataset].sources

    def located(self, name: str) -> dict[str, Any]:
        """The definition of a source, its path absolute where it has one."""
        source = self.config.sources[name]
        definition = {key: value for key, value in asdict(source).items() if key in plain(source)}
        if "path" in definition:
            definition["path"] = os.path.abspath(self.found(definition["path"]))
        return definition

    def absolute(self) -> dict[str, dict[str, str]]:
        """The paths of local sources made absolute, to be laid over a configuration that runs elsewhere."""
        local = [name for name, source in self.config.sources.items() if isinstance(source, LocalSource)]
        return {name: {"path": self.located(name)["path"]} for name in local}

    def local(self, source: str) -> list[str]:
        """The path of a source on this machine and the files in it, nothing for one that is downloaded."""
        definition = self.config.sources[source]
        if not isinstance(definition, LocalSource):
            return []
        path = self.found(definition.path)
        return [str(path), *(str(file) for file in (visible_files(path) if path.is_dir() else []))]

    def check(self, sources: Iterable[str], datasets: Iterable[str]) -> dict[str, Dataset]:
        """Local sources are there with their sha256, and datasets all of local files can be read.

        Done before any job starts: one that fails takes what depends on it along. Raises InputError.
        """
        for name in sources:
            source = self.config.sources[name]
            if isinstance(source, LocalSource):
                self._check_source(name, source)
        read = {dataset: self._read_dataset(dataset) for dataset in datasets}
        return {dataset: facts for dataset, facts in read.items() if facts is not None}

    def check_references(self, references: Mapping[str, str]) -> None:
        """Reference texts that are local files can be read; `references`: a source by dataset.

        Their job comes last, so that hours would pass before it told. Raises InputError.
        """
        for dataset, name in references.items():
            source = self.config.sources[name]
            if source.kind == "file":
                try:
                    read_references(self.found(source.path))
                except InputError as error:
                    raise InputError(f"config: datasets.{dataset}.references: {error}") from error

    def _check_source(self, name: str, source: LocalSource) -> None:
        path = self.found(source.path)
        exists = os.path.isfile(path) if source.kind == "file" else os.path.isdir(path)
        if not exists:  # os.path: a path that is too long or holds a NUL is no error there
            raise InputError(f"config: sources.{name}.path: no such {source.kind}: {source.path}")
        for file in self.local(name):
            if "{" in file or "}" in file:
                raise InputError(
                    f"config: sources.{name}.path: found {file!r}, expected no braces:"
                    " Snakemake takes them for wildcards"
                )
        expected = source.sha256 if source.kind == "file" else None
        if expected and (found := file_sha256(path)) != expected:
            raise InputError(f"config: sources.{name}: {path}: sha256 is {found}, expected {expected}")

    def _read_dataset(self, dataset: str) -> Dataset | None:
        sources = [self.config.sources[name] for name in self.of_dataset(dataset)]
        if any(source.kind != "file" for source in sources):
            return None
        asked = self.config.datasets[dataset]
        try:
            return load_dataset(
                asked.format, [self.found(source.path) for source in sources], asked.malformed
            )
        except InputError as error:
            raise InputError(f"config: datasets.{dataset}: {error}") from error

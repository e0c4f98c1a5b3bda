"""Files of one revision of a repository on the model hub, each of the checksum that the hub lists for it.

What is asked is what huggingface_hub asks. The library itself lists without a timeout or a second attempt,
follows redirections to http, and begins a file anew after an interruption; reedit.fetch.downloads does not.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import quote

from reedit.fetch.downloads import Checksum, ChecksumError, DownloadError, Web

ADDRESS = "https://huggingface.co"
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")  # no code, no pickle
TOLD = {  # X-Error-Code -> what it means for the user
    "GatedRepo": "{name} is gated; accept its licence on the hub and set HF_TOKEN in the environment",
    "RepoNotFound": "the hub has no {name}, or shows it to no one without a token: set HF_TOKEN",
    "RevisionNotFound": "{name} has no revision {revision}",
}
PLAIN = re.compile(r"\w[\w.=+-]*", re.ASCII)  # a file at the top of a repository


@dataclass(frozen=True)
class HubFile:
    """A file as the hub lists it."""

    path: str
    checksum: Checksum


class Repository:
    """A repository (`kind`: model or dataset) at a revision of 40 hexadecimal digits."""

    def __init__(
        self, web: Web, name: str, kind: str, revision: str, token: str | None, address: str = ADDRESS
    ) -> None:
        self.web, self.name, self.kind, self.revision, self.token = web, name, kind, revision, token
        self.address = address.rstrip("/")

    def model_files(self, weights: bool = True) -> list[HubFile]:
        """The texts of a model and its `weights`, by name; DownloadError where it has no safetensors."""
        found = [file for file in self._list(f"tree/{self.revision}") if PLAIN.fullmatch(file.path)]
        found = [file for file in found if any(fnmatch(file.path, pattern) for pattern in MODEL_FILES)]
        if not any(file.path.endswith(".safetensors") for file in found):
            raise DownloadError(f"{self.name} has no *.safetensors at that revision, and no pickle is read")
        found = [file for file in found if weights or not file.path.endswith(".safetensors")]
        return sorted(found, key=lambda file: file.path)

    def files(self, names: Sequence[str]) -> list[HubFile]:
        """The files named, in that order. Raises DownloadError for one that is not there."""
        listed = {file.path: file for file in self._list(f"paths-info/{self.revision}", names)}
        for name in names:
            if name not in listed:
                raise DownloadError(f"{self.name} has no file {name} at that revision")
        return [listed[name] for name in names]

    def download(self, what: str, file: HubFile, target: Path) -> None:
        """Bring a file into `target`; `what` names it in the log. Raises DownloadError."""
        owner = "" if self.kind == "model" else f"{self.kind}s/"
        url = f"{self.address}/{owner}{self.name}/resolve/{self.revision}/{quote(file.path)}"
        with self._told(f"{file.path} of {self.name}"):
            self.web.download(what, url, target, file.checksum, self.token)

    def _list(self, query: str, names: Sequence[str] | None = None) -> list[HubFile]:
        """What the hub lists at a path of its interface, page after page, folders left out."""
        url: str | None = f"{self.address}/api/{self.kind}s/{self.name}/{query}"
        form, found = {"paths": list(names)} if names else None, []
        while url:
            if not url.startswith(f"{self.address}/"):  # the token goes there, too
                raise DownloadError(f"the list of files of {self.name} goes on at another host")
            with self._told(f"the list of files of {self.name}"):
                answer = self.web.ask(self.name, url, self.token, form)
            try:
                found += [_listed(entry) for entry in answer.json() if entry["type"] == "file"]
            except (ValueError, KeyError, TypeError) as error:
                raise DownloadError(f"the list of files of {self.name} is not readable") from error
            url = answer.links.get("next", {}).get("url")
        return found

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Say what a failure means for the user, in a whole sentence."""
        try:
            yield
        except ChecksumError as error:
            raise DownloadError(f"{what}: {error}") from error
        except DownloadError as error:
            told = TOLD.get(error.code or "", "").format(name=self.name, revision=self.revision)
            raise DownloadError(told or f"could not fetch {what} ({error})") from error


def _listed(entry: dict[str, Any]) -> HubFile:
    large = entry.get("lfs")
    checksum = Checksum(str(large["oid"])) if large else Checksum(str(entry["oid"]), git=True)
    return HubFile(str(entry["path"]), checksum)

"""Published results as an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1), written by the library rocrate."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rocrate.model import ContextEntity
from rocrate.rocrate import ROCrate

REPOSITORY = "#reedit"
LICENSE = "https://spdx.org/licenses/MIT"
TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".yaml": "application/yaml",
}


def crate_metadata(folder: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a published folder, from its provenance: its files, what they were made of, by what."""
    crate = ROCrate()
    root = crate.root_dataset
    crate.name = f"Results of the experiment {', '.join(told['experiment']) or 'config.yaml'} of reedit"
    crate.description = (
        "Edits of language models by locate-and-edit methods, repeated and neighbor-assisted: tables, the"
        " numbers behind them with bootstrap intervals, and what produced them."
    )
    crate.license = LICENSE
    root["datePublished"] = told["published"]
    software = crate.add(
        ContextEntity(
            crate,
            REPOSITORY,
            properties={
                "@type": "SoftwareApplication",
                "name": "reedit",
                "softwareVersion": told["packages"].get("reedit", told["commit"]),
                "identifier": told["commit"],
                "softwareRequirements": [f"{name}=={version}" for name, version in told["packages"].items()],
            },
        )
    )
    used = [
        crate.add(
            ContextEntity(
                crate,
                f"#source-{name}/{file}",
                properties={"@type": "DigitalDocument", "name": f"{name}: {file}", "sha256": sha256},
            )
        )
        for name, files in told["sources"].items()
        for file, sha256 in files.items()
    ]
    made = []
    for name, sha256 in told["files"].items():
        properties = {
            "name": name,
            "sha256": sha256,
            "contentSize": str((folder / name).stat().st_size),
            "encodingFormat": TYPES[Path(name).suffix],
        }
        made.append(crate.add_file(folder / name, dest_path=name, properties=properties))
    action = crate.add(
        ContextEntity(
            crate,
            "#run",
            properties={
                "@type": "CreateAction",
                "name": told["command"],
                "description": "Hours by rule: " + ", ".join(f"{r} {h}" for r, h in told["hours"].items()),
            },
        )
    )
    action["instrument"], action["object"], action["result"] = software, used, made
    root["mentions"] = action
    return crate.metadata.generate()

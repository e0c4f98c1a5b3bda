"""A mapping from a YAML file, or one clear line."""

from pathlib import Path
from typing import Any

import yaml

from reedit.errors import InputError


class _Distinct(yaml.SafeLoader):
    """Refuses what stands twice in a mapping, where PyYAML takes the last and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


def read_mapping(path: Path, what: str) -> dict[Any, Any]:
    """The mapping of a YAML file of `what` (a plural); InputError where it is absent or holds none."""
    try:
        value = _Distinct(path.read_text(encoding="utf-8")).get_single_data()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file of {what}") from error
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror})") from error
    except Exception as error:  # PyYAML's constructors raise nearly every type: ValueError for 2020-13-45
        raise InputError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise InputError(f"{path}: expected a mapping of {what}")
    return value

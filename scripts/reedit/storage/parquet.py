"""Parquet between the rules, checked against declared schemas on write and on read, written atomically.

Provenance (model revision, seed, protocol, code hash, ...) travels in the file's key-value metadata under the
key ``reedit``.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from reedit.errors import MENDED, InputError
from reedit.storage.files import atomic
from reedit.storage.schemas import SCHEMAS


def write(
    rows: Sequence[Mapping[str, Any]], path: Path | str, schema: str, provenance: Mapping[str, Any]
) -> None:
    """Write `rows` in the order given as Parquet with the declared schema.

    Raises InputError if a row lacks a column, has an unknown one, or a value of another type.
    """
    declared = SCHEMAS[schema]
    expected = set(declared.names)
    integers = [field.name for field in declared if pa.types.is_integer(field.type)]
    for number, row in enumerate(rows):
        if set(row) != expected:
            wrong = sorted(set(row) ^ expected)
            raise InputError(f"{path}: row {number}: missing or unknown columns {wrong} for {schema}")
        fractions = [name for name in integers if isinstance(row[name], float)]
        if fractions:  # pyarrow would cut them down without a word
            raise InputError(f"{path}: a value does not fit the schema {schema}: row {number}: {fractions}")
    try:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=declared)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
        raise InputError(f"{path}: a value does not fit the schema {schema}: {error}") from error
    write_table(table, path, schema, provenance)


def write_table(table: pa.Table, path: Path | str, schema: str, provenance: Mapping[str, Any]) -> None:
    """The same for a pyarrow Table; InputError if its columns are not those of the declared schema."""
    _check_columns(table, path, schema)
    metadata = {b"reedit": json.dumps(provenance, sort_keys=True, ensure_ascii=False).encode()}
    with atomic(path) as temporary:
        pq.write_table(table.replace_schema_metadata(metadata), temporary, write_page_checksum=True)


def read(path: Path | str, schema: str) -> list[dict[str, Any]]:
    """The rows of a Parquet file as dictionaries; InputError if it is not of the declared schema."""
    return read_table(path, schema).to_pylist()


def read_table(path: Path | str, schema: str) -> pa.Table:
    """The same as a pyarrow Table."""
    with _readable(path):
        table = pq.read_table(path, page_checksum_verification=True)
        _check_columns(table, path, schema)  # a damaged name is no Unicode
    return table


def read_complete(path: Path | str, schema: str) -> pa.Table:
    """The rows of a file that are of complete iterations, none along one; it has the column `after`."""
    table = read_table(path, schema)
    return table.filter(pc.is_null(table["after"]))


def read_provenance(path: Path | str) -> dict[str, Any]:
    """What produced the file: the dictionary given to `write`. InputError if it is not readable."""
    with _readable(path):
        metadata = pq.read_schema(path).metadata or {}
        return json.loads(metadata.get(b"reedit", b"{}"))


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    """Raise what pyarrow says of a missing or damaged file as an InputError of one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file, expected Parquet") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition(f"'{path}': ")[2]
        raise InputError(f"{path}: not readable as Parquet ({reason}){MENDED}") from error


def _check_columns(table: pa.Table, path: Path | str, schema: str) -> None:
    found, declared = table.schema.remove_metadata(), SCHEMAS[schema]
    if not found.equals(declared):
        expected = {field.name: str(field.type) for field in declared}
        actual = {field.name: str(field.type) for field in found}
        wrong = sorted(name for name in expected | actual if expected.get(name) != actual.get(name))
        raise InputError(f"{path}: columns {wrong} differ from the schema {schema}")

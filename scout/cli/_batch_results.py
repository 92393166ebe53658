"""The results of `scout batch`: one record for each row and variant, and the file with them."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import tempfile
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from scout.cli import _exits, _keeping
from scout.cli._advice import in_options

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from scout import BatchItem
    from scout.cli._batch_rows import Row

Record = dict[str, Any]

JSON_LINES, CSV, PARQUET = ".jsonl", ".csv", ".parquet"
_FORMATS = (JSON_LINES, CSV, PARQUET)
_COLUMNS = ("output", "status", "error", "price", "seconds", "run_id")
_AT_ONCE = 1000  # rows of a Parquet file that are in memory


def record_of(item: BatchItem, row: Row, variant: str, *, whole: bool) -> Record:
    """Return what became of a row, of which also the columns that were not sent are given, as JSON without the key."""
    run, error = item.run, item.error
    record = {
        "index": item.index,
        "key": item.key,
        "row": row,
        **({"variant": variant} if variant else {}),
        "status": item.outcome,
        "output": None if run is None else run.output,
        "error": None if error is None else facts_of(error),
        "price": None if run is None else run.price,
        "seconds": round(item.seconds, 6),
        "attempts": item.attempts,
        "run_id": None if run is None else run.id,
        "session_id": item.session_id if run is None else run.session_id,
        **({"run": None if run is None else run.to_dict(decimals=True)} if whole else {}),
    }
    return cast("Record", _exits.without_key(record))


def facts_of(error: Exception) -> dict[str, Any]:
    """Return an error as JSON."""
    return {
        "type": type(error).__name__,
        "message": in_options(str(error)),
        "run_may_have_started": getattr(error, "run_may_have_started", False),
    }


# --- The file -----------------------------------------------------------------------------------------------------


class Target:
    """The file that gets the results. It is a `UsageError` when it cannot be written, before anything is sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.suffix = Path(name).suffix.lower()
        if self.suffix not in _FORMATS:
            raise _exits.UsageError(f"--output {name}: the name of a file of results ends in .jsonl, .csv or .parquet")
        if Path(name).is_dir():
            raise _exits.UsageError(f"--output {name}: is a folder")
        if self.suffix == PARQUET:
            _pyarrow()
        _keeping.try_folder("--output", name)

    def rows(self) -> int:
        """Return the number of results in the file that is there; a very large one when that cannot be told."""
        try:
            if self.suffix == PARQUET:
                return int(_pyarrow().ParquetFile(self.name).metadata.num_rows)
            with Path(self.name).open(encoding="utf-8", newline="") as file:
                return sum(1 for _ in file) if self.suffix == JSON_LINES else sum(1 for _ in csv.reader(file)) - 1
        except FileNotFoundError:
            return 0
        except (OSError, ValueError, csv.Error):
            return sys.maxsize

    def write(self, results: Results) -> None:
        """Write the results, as a whole or not at all.

        Raises:
            OSError: they cannot be written.
        """
        from scout._files import write_whole

        make: Callable[[Results], Iterable[bytes]]
        make = {JSON_LINES: Results.lines, CSV: _csv_lines, PARQUET: _parquet}[self.suffix]
        write_whole(_keeping.path_of(self.name), make(results), overwrite=True)


class Results:
    """The records of all rows and variants, on disk until the batch has ended, because they end in any order."""

    def __init__(self, variants: Iterable[str], columns: Iterable[str]) -> None:
        import sqlite3

        self._database = sqlite3.connect("")  # a temporary file, which SQLite removes
        self._database.execute("CREATE TABLE results (row, variant, output, line, PRIMARY KEY (row, variant))")
        self._errors = sqlite3.Error
        self.columns = dict.fromkeys(columns)
        self.ours = (*_COLUMNS, *(["variant"] if any(variants) else []))
        """The names of the columns that the records have beside those of the rows."""

    def close(self) -> None:
        """Remove them from the disk."""
        self._database.close()

    def add(self, variant: int, item: BatchItem, record: Record | None) -> None:
        """Add a row of a variant, to compare its output, with its record if that is kept.

        Raises:
            UsageError: there is no room for it.
        """
        from scout._json import write_json

        line = output = None
        if record is not None:
            line = f"{write_json(record)}\n".encode("utf-8", "backslashreplace")
            self.columns |= dict.fromkeys(record["row"])
        if item.run is not None and item.ok:
            text = write_json(item.run.output, sort_keys=True)
            output = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        try:
            self._database.execute("INSERT INTO results VALUES (?, ?, ?, ?)", (item.index, variant, output, line))
        except self._errors as error:
            raise _exits.UsageError(
                f"the results cannot be kept in a temporary file until the end: {error}; SQLITE_TMPDIR names its folder"
            ) from None

    def __len__(self) -> int:
        (number,) = self._database.execute("SELECT count(line) FROM results").fetchone()
        return int(number)

    def agreement(self, variant: int) -> float | None:
        """Return the share of rows whose output is that of the first variant, of those that both have done."""
        query = (
            "SELECT avg(one.output = other.output) FROM results AS one JOIN results AS other USING (row) "
            "WHERE one.variant = 0 AND other.variant = ?"
        )
        (share,) = self._database.execute(query, (variant,)).fetchone()
        return cast("float | None", share)

    def lines(self) -> Iterator[bytes]:
        """Yield the records as lines of JSON: row by row, and the variants of a row one after the other."""
        for (line,) in self._database.execute("SELECT line FROM results ORDER BY row, variant"):
            yield line

    def records(self) -> Iterator[Record]:
        """Yield the records."""
        from scout._json import parse_json

        for line in self.lines():
            yield parse_json(line)


# --- Formats ------------------------------------------------------------------------------------------------------


def _names(results: Results) -> dict[str, str]:
    """Return the names of our columns. One that a row has itself gets a prefix."""
    return {name: _free(name, results.columns) for name in results.ours}


def _free(name: str, taken: Container[str]) -> str:
    return _free(f"scout_{name}", taken) if name in taken else name


def _flat(record: Record, columns: Sequence[str], names: Mapping[str, str]) -> dict[str, Any]:
    """Return a record as the cells of one row of a table."""
    row: Row = record["row"]
    error: Mapping[str, Any] | None = record["error"]
    cells = {name: row.get(name) for name in columns}
    for name, column in names.items():
        cells[column] = record[name]
    cells[names["output"]] = _text(record["output"])
    cells[names["error"]] = None if error is None else error["message"]
    return cells


def _text(value: Any) -> str | None:
    """Return a value as the text of a cell: text as it is, anything else as JSON, and `None` for null."""
    from scout._json import write_json

    return value if value is None or isinstance(value, str) else write_json(value)


def _csv_lines(results: Results) -> Iterator[bytes]:
    columns, names = list(results.columns), _names(results)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    heads = iter([[*columns, *names.values()]])
    rows = (map(_text, _flat(record, columns, names).values()) for record in results.records())
    for cells in chain(heads, rows):
        writer.writerow(cells)
        yield text.getvalue().encode("utf-8", "backslashreplace")
        text.seek(0)
        text.truncate()


def _pyarrow() -> Any:
    """Return the module of pyarrow for Parquet.

    Raises:
        UsageError: pyarrow is not installed.
    """
    import importlib

    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise _exits.UsageError("a .parquet file needs pyarrow: pip install pyarrow; or write .jsonl or .csv") from None


_TYPES: dict[str, Callable[[Any], bool]] = {
    "bool_": lambda value: isinstance(value, bool),
    "int64": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "float64": lambda value: isinstance(value, float) or (type(value) is int and abs(value) < 2**53),
}
"""The types of columns of a row, the narrowest first. Whatever has none of them becomes text, as in CSV."""
_OURS = {"price": "float64", "seconds": "float64"}


def _parquet(results: Results) -> Iterator[bytes]:
    """Yield a Parquet file. Its schema is known when all records have been seen once."""
    import importlib

    parquet, arrow = _pyarrow(), cast("Any", importlib.import_module("pyarrow"))
    columns, names = list(results.columns), _names(results)
    possible = {name: list(_TYPES) for name in columns}
    seen: set[str] = set()
    for record in results.records():
        values: Row = {name: value for name, value in record["row"].items() if value is not None}
        seen |= values.keys()
        for name, value in values.items():
            possible[name] = [kind for kind in possible[name] if _TYPES[kind](value)]
    # A column of nulls could have any type.
    types = {name: found[0] if found and name in seen else "string" for name, found in possible.items()}
    types |= {column: _OURS.get(name, "string") for name, column in names.items()}
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in types.items()])
    records = results.records()
    with cast("BinaryIO", tempfile.TemporaryFile()) as file:
        with parquet.ParquetWriter(file, schema) as writer:
            while some := list(islice(records, _AT_ONCE)):
                rows = [_typed(_flat(record, columns, names), types) for record in some]
                writer.write_table(arrow.Table.from_pylist(rows, schema))
        file.seek(0)
        yield from iter(partial(file.read, 1 << 20), b"")


def _typed(cells: dict[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    texts = {name: _text(value) for name, value in cells.items() if types[name] == "string"}
    valid = {name: text and text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()}
    return cells | valid

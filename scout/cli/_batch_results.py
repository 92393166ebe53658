"""The results of `scout batch`: one record for each row and variant, and the file with them."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import sys
import tempfile
from array import array
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from scout.cli import _exits, _keeping
from scout.cli._advice import in_options
from scout.cli._terminal import as_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scout import BatchItem
    from scout.cli._batch_rows import Row

Record = dict[str, Any]

JSON_LINES, CSV, PARQUET = ".jsonl", ".csv", ".parquet"
_FORMATS = (JSON_LINES, CSV, PARQUET)
_COLUMNS = ("output", "status", "error", "price", "seconds", "run_id")
_AT_ONCE = 1000  # rows of a Parquet file that are in memory
_NONE = -1


def record_of(item: BatchItem, row: Row, variant: str, *, whole: bool) -> Record:
    """Return what became of a row, as JSON.

    Args:
        item: Its item.
        row: The row, also with the columns that were not sent.
        variant: The name of the variant; empty for none.
        whole: Add the whole run.
    """
    run, error = item.run, item.error
    return {
        "index": item.index,
        "key": item.key,
        "row": row,
        **({"variant": variant} if variant else {}),
        "status": item.outcome,
        "output": None if run is None else run.output,
        "error": None
        if error is None
        else {
            "type": type(error).__name__,
            "message": in_options(str(error)),
            "run_may_have_started": error.run_may_have_started,
        },
        "price": None if run is None else run.price,
        "seconds": round(item.seconds, 6),
        "attempts": item.attempts,
        "run_id": None if run is None else run.id,
        "session_id": item.session_id if run is None else run.session_id,
        **({"run": None if run is None else run.to_dict(decimals=True)} if whole else {}),
    }


def line_of(record: Record) -> str:
    """Return a record as a line of JSON, without the API key."""
    from scout._json import write_json

    return write_json(_exits.without_key(record)) + "\n"


# --- The file -----------------------------------------------------------------------------------------------------


class Target:
    """The file that gets the results. Whether it can be written is known before anything is sent.

    Args:
        name: The name of the file.

    Raises:
        UsageError: it has another form, or cannot be written.
    """

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

    @property
    def exists(self) -> bool:
        """True when there is something of this name."""
        return os.path.lexists(self.name)

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
        make = {JSON_LINES: _json_lines, CSV: _csv_lines, PARQUET: _parquet}[self.suffix]
        write_whole(_keeping.path_of(self.name), make(results), overwrite=True)


class Results:
    """The records of all rows and variants, on disk until the batch has ended, because they end in any order.

    A context manager, which removes them from the disk.

    Args:
        variants: The number of variants.
        columns: The names of the columns of the rows, as far as they are known.
    """

    def __init__(self, variants: int, columns: Iterable[str]) -> None:
        self._spool = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `__exit__`
        self._end = 0
        self._places = [array("q") for _ in range(variants)]
        self._outputs = [array("Q") for _ in range(variants)]
        self.columns = dict.fromkeys(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def note(self, variant: int, item: BatchItem) -> None:
        """Note the output of a row in a variant, to be compared with those of other variants."""
        outputs = self._outputs[variant]
        if len(outputs) <= item.index:
            outputs.extend([0] * (item.index + 1 - len(outputs)))
        outputs[item.index] = 0 if item.run is None or not item.ok else _digest(item.run.output)

    def add(self, variant: int, record: Record) -> None:
        """Take a record of a variant, in the place of an earlier one of the same row."""
        places, index = self._places[variant], record["index"]
        if len(places) <= index:
            places.extend([_NONE] * (index + 1 - len(places)))
        data = line_of(record).encode("utf-8", "backslashreplace")
        self._spool.seek(self._end)
        self._spool.write(data)
        places[index] = self._end
        self._end += len(data)
        row: Row = record["row"]
        if row.keys() - self.columns.keys():
            self.columns |= dict.fromkeys(row)

    def has(self, variant: int, index: int) -> bool:
        """Return True when there is a record of a row."""
        places = self._places[variant]
        return index < len(places) and places[index] != _NONE

    def __len__(self) -> int:
        return sum(len(places) - places.count(_NONE) for places in self._places)

    def agreement(self, variant: int) -> float | None:
        """Return the share of rows whose output is that of the first variant, of those that both have done."""
        pairs = [pair for pair in zip(self._outputs[0], self._outputs[variant], strict=False) if all(pair)]
        return sum(one == other for one, other in pairs) / len(pairs) if pairs else None

    def lines(self) -> Iterator[bytes]:
        """Yield the records as lines of JSON: row by row, and the variants of a row one after the other."""
        longest = max((len(places) for places in self._places), default=0)
        for index in range(longest):
            for places in self._places:
                if index < len(places) and places[index] != _NONE:
                    self._spool.seek(places[index])
                    yield self._spool.readline()

    def records(self) -> Iterator[Record]:
        """Yield the records."""
        from scout._json import parse_json

        for line in self.lines():
            yield parse_json(line)


def _digest(output: Any) -> int:
    """Return a number for an output, which others have only if they are equal to it; never 0."""
    from scout._json import write_json

    text = write_json(output, sort_keys=True)
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()) or 1


# --- Formats ------------------------------------------------------------------------------------------------------


def _json_lines(results: Results) -> Iterable[bytes]:
    return results.lines()


def _names(results: Results, *, has_variant: bool) -> dict[str, str]:
    """Return the names of our columns. One that a row has itself gets a prefix."""
    ours = (*_COLUMNS, *(["variant"] if has_variant else []))
    names: dict[str, str] = {}
    for name in ours:
        free = name
        while free in results.columns:
            free = f"scout_{free}"
        names[name] = free
    return names


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


def _with_first(records: Iterator[Record]) -> tuple[Iterator[Record], bool]:
    """Return the records, and True when they have variants."""
    first = list(islice(records, 1))
    return chain(first, records), any("variant" in record for record in first)


def _csv_lines(results: Results) -> Iterator[bytes]:
    records, has_variant = _with_first(results.records())
    names = _names(results, has_variant=has_variant)
    columns = [*results.columns, *names.values()]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")

    def written() -> bytes:
        data = text.getvalue().encode("utf-8", "backslashreplace")
        text.seek(0)
        text.truncate()
        return data

    writer.writeheader()
    yield written()
    for record in records:
        cells = _flat(record, list(results.columns), names)
        writer.writerow({name: _text(value) for name, value in cells.items()})
        yield written()


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


_KINDS: dict[str, Callable[[Any], bool]] = {
    "bool_": lambda value: isinstance(value, bool),
    "int64": lambda value: isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63,
    "float64": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53,
    "string": lambda value: isinstance(value, str),
}
"""The types of columns of a row, the narrowest first. Whatever has none of them becomes JSON in text."""
_OURS = {"price": "float64", "seconds": "float64"}


def _parquet(results: Results) -> Iterator[bytes]:
    """Yield a Parquet file. Its schema is known when all records have been seen once."""
    import importlib

    parquet, arrow = _pyarrow(), cast("Any", importlib.import_module("pyarrow"))
    columns = list(results.columns)
    possible = {name: list(_KINDS) for name in columns}
    for record in results.records():
        row: Row = record["row"]
        for name, value in row.items():
            if value is not None:
                possible[name] = [kind for kind in possible[name] if _KINDS[kind](value)]
    records, has_variant = _with_first(results.records())
    names = _names(results, has_variant=has_variant)
    # A column of nulls could have any type.
    kinds = {name: "string" if len(found) in (0, len(_KINDS)) else found[0] for name, found in possible.items()}
    kinds |= {column: _OURS.get(name, "string") for name, column in names.items()}
    schema = arrow.schema([(name, getattr(arrow, kind)()) for name, kind in kinds.items()])
    with cast("BinaryIO", tempfile.TemporaryFile()) as file:
        with parquet.ParquetWriter(file, schema) as writer:
            while some := list(islice(records, _AT_ONCE)):
                rows = [_typed(_flat(record, columns, names), kinds) for record in some]
                writer.write_table(arrow.Table.from_pylist(rows, schema))
        file.seek(0)
        yield from iter(partial(file.read, 1 << 20), b"")


def _typed(cells: dict[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    return {name: _utf_8(_text(value)) if kinds[name] == "string" else value for name, value in cells.items()}


def _utf_8(text: str | None) -> str | None:
    return text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def answer_line(record: Record) -> str:
    """Return a record as a line for stdout."""
    return as_json(_exits.without_key(record))

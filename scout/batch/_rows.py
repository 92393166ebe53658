"""The rows of a batch: from iterables, tables, and files of CSV or JSON Lines, one after the other.

Files are opened when the first row is asked for, read line by line, and closed when the iterator ends, fails or is
closed.

CSV is read by `csv`, strictly. What spreadsheets write besides is understood too: any delimiter of three, any line end,
blank lines.
"""

from __future__ import annotations

import csv
import os
import stat
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping, Sized
from datetime import date, time
from io import StringIO
from itertools import chain, islice
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal, NoReturn

from scout._json import NOT_JSON, is_decimal, is_dict, is_list, is_mapping, parse_json, shorten
from scout._retry import foreign
from scout.errors import ConfigurationError
from scout.workflow_files import kind_of, reason_of

__all__ = ["Kind", "read_rows", "rows_of", "total_of"]

Kind = Literal["csv", "tsv", "jsonl"]
Row = dict[str, Any]

_KINDS: dict[str, Kind] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SUFFIXES = "a file of rows ends in .csv, .tsv, .jsonl or .ndjson"
_SOURCES = "pass an iterable of mappings, the path of a file, or a table of pandas, polars or pyarrow"
_INSTEAD = {
    **dict.fromkeys((".parquet", ".feather", ".arrow", ".xlsx", ".xls", ".ods"), "; read this one into a table first"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".zip"), "; unpack this one first"),
    ".json": "; pass the list that is in this one",
}  # fmt: skip


def total_of(rows: Any) -> int | None:
    """Return the number of rows where that is known without reading them, else `None`."""
    if isinstance(rows, str | bytes | os.PathLike) or hasattr(rows, "npartitions"):  # Dask computes its length
        return None
    try:
        return len(rows) if isinstance(rows, Sized) else None
    except (TypeError, NotImplementedError):  # as PyTorch's data sets without a length
        return None


def rows_of(rows: Any) -> Generator[Row] | AsyncGenerator[Row]:
    """Return a generator of the rows of a source. Close it when it is left early: it may hold a file open.

    Each row is a new `dict` with text as keys. In tables, what stands for a missing value becomes `None`, a date or
    time its ISO format, and a number or array of numpy a plain one. Other values stay as they are.

    Args:
        rows: An iterable or asynchronous iterable of mappings, the path of a `.csv`, `.tsv`, `.jsonl` or `.ndjson` file
            or of a pipe, or a table: a DataFrame of pandas or polars, or a Table, RecordBatch, RecordBatchReader or
            Dataset of pyarrow.

    Raises:
        ConfigurationError: at once, the source is none of these, the file does not exist, or the table has columns
            whose names are not text or not unique; while iterating, the file cannot be read, or a row is not a mapping.
            Rows are counted from 1 in messages.
    """
    if isinstance(rows, str | os.PathLike):
        name: str = os.fsdecode(rows)  # pyright: ignore[reportUnknownArgumentType] -- of a path of text or bytes
        _check_path(name)
        return _rows_of_file(name)
    if hasattr(rows, "readline"):
        raise ConfigurationError("rows must not be an open file; pass its path, or a csv.DictReader of it")
    if not isinstance(rows, _NO_ROWS):
        if (table := _rows_of_table(rows)) is not None:
            return table
        if isinstance(rows, Iterable):
            return _checked(rows)
        if isinstance(rows, AsyncIterable):
            return _checked_async(rows)
    advice = "; call its collect() first" if hasattr(rows, "collect") else ""
    if is_mapping(rows):
        advice = "; a single row is a list with one mapping"
    raise ConfigurationError(f"rows must not be {kind_of(rows)}; {_SOURCES}{advice}")


_NO_ROWS: tuple[type[object], ...] = (bytes, bytearray, memoryview, Mapping, type)


# --- Iterables ----------------------------------------------------------------------------------------------------


def _checked(rows: Any) -> Generator[Row]:
    for number, row in enumerate(rows, 1):
        yield _row(row, number)


async def _checked_async(rows: Any) -> AsyncGenerator[Row]:
    number = 0
    async for row in rows:
        number += 1
        yield _row(row, number)


def _row(row: Any, number: int) -> Row:
    if not (is_dict(row) or is_mapping(row)):
        others = "; pass dict(row)" if hasattr(row, "keys") else ""  # as those of sqlite3
        advice = next((f"; pass its {method}()" for method in _AS_MAPPING if hasattr(row, method)), others)
        raise ConfigurationError(
            f"row {number} is {kind_of(row)}; each row is a mapping of input names to values{advice}"
        )
    copy: dict[Any, Any] = dict(row)
    for key in copy:
        if not isinstance(key, str):
            raise ConfigurationError(f"row {number}: the key {shorten(repr(key), 100)} is not text")
    return copy


_AS_MAPPING = ("_asdict", "model_dump", "asDict", "to_dict")


# --- Tables -------------------------------------------------------------------------------------------------------

_AT_ONCE = 1000
"""The rows of a pyarrow table that are made Python objects at once."""


def _rows_of_table(table: Any) -> Generator[Row] | None:
    """Return the rows of a table; `None` when it is none. No library is imported: a table has its own iteration."""
    if hasattr(table, "itertuples") and hasattr(table, "columns"):  # pandas
        names = _checked_names(table.columns)
        return _plain_rows(dict(zip(names, row, strict=True)) for row in table.itertuples(index=False, name=None))
    if hasattr(table, "iter_rows") and hasattr(table, "schema"):  # polars
        return _plain_rows(table.iter_rows(named=True))
    for method, batches_of in _BATCHES.items():  # pyarrow
        if hasattr(table, method) and hasattr(table, "schema"):
            _checked_names(table.schema.names)
            return _plain_rows(_rows_of_batches(batches_of(table)))
    return None


_BATCHES: dict[str, Callable[[Any], Iterable[Any]]] = {
    "to_batches": lambda table: table.to_batches(),  # a Table or a Dataset
    "read_next_batch": lambda reader: reader,
    "to_pylist": lambda batch: [batch],
}


def _rows_of_batches(batches: Iterable[Any]) -> Iterator[Row]:
    for batch in batches:
        for start in range(0, batch.num_rows, _AT_ONCE):
            yield from batch.slice(start, _AT_ONCE).to_pylist()


def _checked_names(columns: Iterable[Any]) -> list[str]:
    names: list[Any] = list(columns)
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError(
                f"the column {shorten(repr(name), 100)} is not text; name the columns of the table as the inputs"
            )
    if (double := _double(names)) is not None:
        raise ConfigurationError(f'two columns of the table have the name "{shorten(double, 100)}"')
    return names


def _double(names: list[str]) -> str | None:
    """Return the first name that stands twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


_PLAIN = frozenset({str, int, bool, type(None)})


def _plain_rows(rows: Iterable[Mapping[str, Any]]) -> Generator[Row]:
    for row in rows:
        yield {name: value if type(value) in _PLAIN else _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a value of a table as JSON; unchanged when it has no such form."""
    if type(value) in _PLAIN:
        return value
    if _is_missing(value):
        return None
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if is_list(value):
        return [_plain(each) for each in value]
    if is_dict(value):
        return {key: _plain(each) for key, each in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "ndim"):  # of numpy
        return _from_numpy(value)
    return value


def _is_missing(value: Any) -> bool:
    # NaN and NaT differ from themselves. Comparisons with pandas.NA are NA.
    if isinstance(value, float | date):
        return value != value
    if is_decimal(value):
        return value.is_nan()
    return type(value).__name__ == "NAType"


def _from_numpy(value: Any) -> Any:
    if value.ndim:
        return [_plain(each) for each in value]
    kind = getattr(value.dtype, "kind", "")
    if kind in ("M", "m"):  # the item of these may be a number of nanoseconds
        text = str(value)
        return None if text == "NaT" else text if kind == "M" else value
    item = value.item()
    return value if type(item) is type(value) else _plain(item)


# --- Files --------------------------------------------------------------------------------------------------------


def _kind_of(name: str) -> Kind | None:
    """Return what a file is read as; `None` when its name does not say it."""
    return _KINDS.get(Path(name).suffix.lower())


def _check_path(name: str) -> None:
    """Refuse what is not the path of a file of rows, or of a pipe or a device, whose names may be any."""
    suffix, kind = Path(name).suffix.lower(), _kind_of(name)
    if not name or "\n" in name:
        raise ConfigurationError(f"rows must not be {'the text of a file' if name else 'empty text'}; {_SOURCES}")
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError) as error:
        if kind is None and not isinstance(error, PermissionError):
            _refuse(shorten(name, 200), f"is not the path of a file of rows; {_SUFFIXES}{_INSTEAD.get(suffix, '')}")
        _cannot_be_read(name, error)
    if stat.S_ISDIR(mode):
        _refuse(name, "is a folder; give a file in it")
    if kind is None and stat.S_ISREG(mode) and not name.startswith("/dev/"):  # /dev/stdin may be a file
        _refuse(name, f"{_SUFFIXES}{_INSTEAD.get(suffix, '')}")


def _rows_of_file(name: str) -> Generator[Row]:
    try:
        with Path(name).open("rb") as file:
            yield from read_rows(file, name)
    except OSError as error:
        _cannot_be_read(name, error)


def read_rows(stream: Iterable[bytes], name: str, kind: Kind | None = None) -> Generator[Row]:
    """Yield the rows of an open file, such as the standard input. It is read once, from where it is, and not closed.

    Args:
        stream: A binary file in UTF-8, with or without a byte order mark.
        name: The name of the file in errors.
        kind: `"csv"`, whose delimiter is what divides the first line most (comma, semicolon or tab), `"tsv"`, or
            `"jsonl"`. `None`: by the ending of the name, else JSON Lines when the first character is a bracket, else
            CSV.

    Raises:
        ConfigurationError: it cannot be read, is not UTF-8, or a line is wrong, which the message names.
    """
    lines = _text_lines(stream, name)
    kind = kind or _kind_of(name)
    if kind is None:
        head: list[str] = []
        for line in lines:
            head.append(line)
            if line.strip():
                break
        kind = "jsonl" if "".join(head).lstrip().startswith(("{", "[")) else "csv"
        lines = chain(head, lines)
    if kind == "jsonl":
        yield from _json_rows(lines, name)
    else:
        yield from _csv_rows(lines, name, "\t" if kind == "tsv" else None)


def _text_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    number, line = 1, b""
    try:
        for number, line in enumerate(stream, 1):
            text = line.decode()
            if "\0" in text:
                _refuse(name, "holds a NUL character; rows are text, in UTF-8", number, text.index("\0") + 1)
            if number == 1:
                text = text.removeprefix("\ufeff")
            if "\r" in text and "\r" in text.removesuffix("\r\n"):  # alone it ends the lines of old programs
                yield from StringIO(text, newline="")
            else:
                yield text
    except OSError as error:
        _cannot_be_read(name, error)
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {line[error.start]:#04x}{_advice_on_bytes(line)}"
        _refuse(name, problem, number, error.start + 1)


def _advice_on_bytes(line: bytes) -> str:
    if line.startswith(b"PK\x03\x04"):
        return "; this is a ZIP file or a workbook of a spreadsheet. Save the sheet as CSV UTF-8"
    if line.startswith(b"\x1f\x8b"):
        return "; this file is compressed. Unpack it first"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; this is UTF-16. Save it as UTF-8"
    return "; save the file as UTF-8, which spreadsheets call CSV UTF-8"


def _cannot_be_read(name: str, error: OSError | ValueError) -> NoReturn:
    if foreign(error) is not None:
        raise error
    _refuse(name, f"cannot be read: {reason_of(error, name)}")


def _refuse(name: str, problem: str, line: int | None = None, column: int | None = None) -> NoReturn:
    place = f"{'' if line is None else f', line {line}'}{'' if column is None else f', column {column}'}"
    raise ConfigurationError(f"{name}{place}: {problem}") from None


# --- JSON Lines ---------------------------------------------------------------------------------------------------


def _json_rows(lines: Iterable[str], name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line, strict=True, unique_keys=True)
        except JSONDecodeError as error:
            if not line.strip(" \t\r\n"):
                continue
            advice = _ONE_DOCUMENT if number == 1 and line.strip() in ("[", "{") else ""
            _refuse(name, f"is not JSON: {error.msg}{advice}", number, error.pos + 1)
        except NOT_JSON as error:
            problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
            _refuse(name, f"is not JSON that can be read: {problem}", number)
        if not is_dict(row):
            advice = _ONE_DOCUMENT if number == 1 and is_list(row) else ""
            _refuse(name, f'is {kind_of(row)}; each line is an object, such as {{"name": "value"}}{advice}', number)
        yield row


_ONE_DOCUMENT = ". If the whole file is one JSON document, pass the list that is in it"


# --- CSV ----------------------------------------------------------------------------------------------------------

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
_LONGEST_FIELD = 100_000_000
"""Characters after which a quote was probably never closed. `csv` needs four bytes for each while it reads a field."""


def _csv_rows(lines: Iterator[str], name: str, delimiter: str | None) -> Iterator[Row]:
    # The limit, 131,072 at first, is one of the whole process. That it grows is harmless: whoever else reads CSV gets
    # fields for which there was an error, and nothing else changes.
    csv.field_size_limit(max(_LONGEST_FIELD, csv.field_size_limit()))
    if delimiter is None:
        delimiter, lines = _delimiter_of(lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    before = 0  # the last line of the row before
    try:
        names = next((fields for fields in reader if fields), list[str]())
        _check_header(names, name, reader.line_num)
        width = len(names)
        before = reader.line_num
        for fields in reader:
            if len(fields) == width:
                yield dict(zip(names, fields, strict=False))  # strict is slower, and the lengths are the same
            elif len(fields) > 1 or "".join(fields).strip():  # else it is a blank line
                many = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
                advice = f"; a field with a {_DELIMITERS[delimiter]} in it must stand in quotes" * (len(fields) > width)
                _refuse(name, f"the row has {many}, and the header has {width}{advice}", before + 1)
            before = reader.line_num
    except csv.Error as error:
        place = f" in line {reader.line_num}" if reader.line_num > before + 1 else ""
        _refuse(name, f"is not CSV: {error}{place}; {_RULE_OF_QUOTES}", before + 1)


_RULE_OF_QUOTES = "a field that begins with a quote ends with one, and a quote in it is written twice"


def _check_header(names: list[str], name: str, line: int) -> None:
    if not names:
        _refuse(name, "is empty; the first line of a CSV file names the columns")
    if "" in names:
        advice = "the first line of a CSV file names the columns" if names[0] else _PANDAS_INDEX
        _refuse(name, f"column {names.index('') + 1} has no name; {advice}", line)
    if (double := _double(names)) is not None:
        _refuse(name, f'two columns have the name "{shorten(double, 100)}"', line)


_PANDAS_INDEX = "if it is the index of a pandas table, write the file with to_csv(..., index=False)"


def _delimiter_of(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return what divides the header into the most fields, and the lines with those that were read for this."""
    head: list[str] = []

    def from_the_start() -> Iterator[str]:
        yield from tuple(head)
        for line in islice(lines, 1000):  # else a quote that is never closed takes all of the file
            head.append(line)
            yield line

    def width(delimiter: str) -> int:
        try:
            reader = csv.reader(from_the_start(), delimiter=delimiter)
            return next((len(fields) for fields in reader if fields), 0)
        except csv.Error:  # whoever reads the rows says it
            return 0

    return max(_DELIMITERS, key=width), chain(head, lines)

"""The rows of a batch: from iterables, tables, and files of CSV or JSON Lines, one after the other.

Files are opened when the first row is asked for, read line by line, and closed when the iterator ends, fails or is
closed.

CSV is parsed here and not by `csv`, whose longest field is a setting of the whole process, which reads text after a
closing quote as a part of the field, and which takes a quote that is never closed for the end of the last field. The
rules are those of RFC 4180, and what spreadsheets write besides: any delimiter of three, any line end, blank lines.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable, Iterator, Mapping, Sized
from datetime import date, time
from itertools import chain
from json import JSONDecodeError
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

from scout._json import MAX_DEPTH, NOT_JSON, is_decimal, is_dict, is_list, is_mapping, parse_json, shorten
from scout._retry import foreign
from scout.errors import ConfigurationError
from scout.workflow_files import kind_of

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
        return _rows_of_file(name, _kind_of_file(name))
    table = _rows_of_table(rows)
    if table is not None:
        return table
    if not isinstance(rows, _NO_ROWS) and not hasattr(rows, "readline"):
        if isinstance(rows, Iterable):
            return _checked(rows)
        if isinstance(rows, AsyncIterable):
            return _checked_async(rows)
    raise ConfigurationError(f"rows must not be {_shown(rows)}; {_SOURCES}{_advice_on(rows)}")


_NO_ROWS: tuple[type[object], ...] = (bytes, bytearray, memoryview, Mapping, type)


def _shown(rows: object) -> str:
    return "an open file" if hasattr(rows, "readline") else kind_of(rows)


def _advice_on(rows: object) -> str:
    if hasattr(rows, "readline"):
        return ", such as that of this file"
    if is_mapping(rows):
        return "; a single row is a list with one mapping"
    return "; call its collect() first" if hasattr(rows, "collect") else ""


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
        advice = next((f"; pass its {name}" for name, method in _AS_MAPPING.items() if hasattr(row, method)), "")
        raise ConfigurationError(
            f"row {number} is {kind_of(row)}; each row is a mapping of input names to values{advice}"
        )
    copy: dict[Any, Any] = dict(row)
    for key in copy:
        if not isinstance(key, str):
            raise ConfigurationError(f"row {number}: the key {shorten(repr(key), 100)} is not text")
    return copy


_AS_MAPPING = {"_asdict()": "_asdict", "model_dump()": "model_dump", "asDict()": "asDict", "to_dict()": "to_dict"}


# --- Tables -------------------------------------------------------------------------------------------------------

_AT_ONCE = 1000
"""The rows of a pyarrow table that are made Python objects at once."""


def _rows_of_table(table: Any) -> Generator[Row] | None:
    """Return the rows of a table; `None` when it is none. No library is imported: a table has its own iteration."""
    if isinstance(table, type):
        return None
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


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value of a table as JSON; unchanged when it has no such form."""
    if type(value) in _PLAIN or depth > MAX_DEPTH:
        return value
    if _is_missing(value):
        return None
    if isinstance(value, date | time):  # a datetime is a date
        return value.isoformat()
    if is_list(value):
        return [_plain(each, depth + 1) for each in value]
    if is_dict(value):
        return {key: _plain(each, depth + 1) for key, each in value.items()}
    if hasattr(value, "dtype") and hasattr(value, "ndim"):  # of numpy
        return _from_numpy(value, depth)
    return value


def _is_missing(value: Any) -> bool:
    # NaN and NaT differ from themselves. Comparisons with pandas.NA are NA.
    if isinstance(value, float | date):
        return value != value
    if is_decimal(value):
        return value.is_nan()
    return type(value).__name__ in ("NAType", "NaTType")


def _from_numpy(value: Any, depth: int) -> Any:
    if value.ndim:
        return [_plain(each, depth + 1) for each in value]
    kind = getattr(value.dtype, "kind", "")
    if kind in ("M", "m"):  # the item of these may be a number of nanoseconds
        text = str(value)
        return None if text == "NaT" else text if kind == "M" else value
    item = value.item()
    return value if type(item) is type(value) else _plain(item, depth + 1)


# --- Files --------------------------------------------------------------------------------------------------------


def _kind_of_file(name: str) -> Kind | None:
    """Return what a file is read as; `None` for a pipe or a device whose name does not say it."""
    suffix = Path(name).suffix.lower()
    kind = _KINDS.get(suffix)
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
    return kind


def _rows_of_file(name: str, kind: Kind | None) -> Generator[Row]:
    with _opened(name) as file:
        yield from read_rows(file, name, kind)


def _opened(name: str) -> BinaryIO:
    try:
        return Path(name).open("rb")
    except OSError as error:
        if foreign(error) is not None:
            raise
        _cannot_be_read(name, error)


def read_rows(stream: Iterable[str] | BinaryIO, name: str, kind: Kind | None = None) -> Generator[Row]:
    """Yield the rows of an open file, such as the standard input. It is read once, from where it is, and not closed.

    Args:
        stream: The lines, with their line ends, or a binary file in UTF-8, with or without a byte order mark.
        name: The name of the file in errors.
        kind: `"csv"`, whose delimiter is what stands most in the first line (comma, semicolon or tab), `"tsv"`, or
            `"jsonl"`. `None`: JSON Lines when the first character is a bracket, else CSV.

    Raises:
        ConfigurationError: it cannot be read, is not UTF-8, or a line is wrong, which the message names.
    """
    lines = _text_lines(stream, name)
    if kind is None:
        head: list[str] = []
        for line in lines:
            head.append(line)
            if line.strip():
                break
        kind = "jsonl" if head and head[-1].lstrip()[:1] in ("{", "[") else "csv"
        lines = chain(head, lines)
    if kind == "jsonl":
        yield from _json_rows(lines, name)
    else:
        yield from _csv_rows(_with_any_line_end(lines), name, "\t" if kind == "tsv" else None)


def _text_lines(stream: Iterable[str | bytes], name: str) -> Iterator[str]:
    number = 1
    line: str | bytes = ""
    try:
        for number, line in enumerate(stream, 1):
            text = line if isinstance(line, str) else line.decode()
            yield text.removeprefix("\ufeff") if number == 1 else text
    except OSError as error:
        if foreign(error) is not None:
            raise
        _cannot_be_read(name, error)
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8: byte {error.object[error.start]:#04x}"
        if isinstance(line, str):  # it is the stream that decodes
            _refuse(name, problem)
        _refuse(name, problem + _advice_on_bytes(line), number, error.start + 1)


def _advice_on_bytes(line: bytes) -> str:
    if line.startswith(b"PK\x03\x04"):
        return "; this is a ZIP file or a workbook of a spreadsheet. Save the sheet as CSV UTF-8"
    if line.startswith(b"\x1f\x8b"):
        return "; this file is compressed. Unpack it first"
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "; this is UTF-16. Save it as UTF-8"
    return "; save the file as UTF-8, which spreadsheets call CSV UTF-8"


def _cannot_be_read(name: str, error: OSError | ValueError) -> NoReturn:
    # ValueError: a NUL character in the name
    reason = error.strerror if isinstance(error, OSError) else str(error)
    looked = isinstance(error, FileNotFoundError) and not Path(name).is_absolute()
    _refuse(name, f"cannot be read: {reason}{f' (looked in {_here()})' if looked else ''}")


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that is gone"


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
_IN_QUOTES = '[^"]*+(?:""[^"]*+)*+'
_STILL_OPEN = re.compile(_IN_QUOTES)
_QUOTED = re.compile(f'(?<![^,;\t\r\n])"{_IN_QUOTES}("|\\Z)')
_LONGEST_HEADER = 1_000_000
_LONGEST_RECORD = 500_000_000
"""Characters after which a quote was probably never closed. So a mistake in a large file does not fill the memory."""


def _csv_rows(lines: Iterator[str], name: str, delimiter: str | None) -> Iterator[Row]:
    if delimiter is None:
        delimiter, lines = _delimiter_of(lines)
    records = _records(lines, name, delimiter)
    line, names = next(records, (1, list[str]()))
    _check_header(names, name, line)
    width = len(names)
    for line, fields in records:
        if len(fields) == width:
            yield dict(zip(names, fields, strict=False))  # strict is slower, and the lengths are the same
        elif len(fields) > 1 or fields[0].strip():  # else it is a blank line
            many = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
            advice = f"; a field with a {_DELIMITERS[delimiter]} in it must stand in quotes" * (len(fields) > width)
            _refuse(name, f"the row has {many}, and the header has {width}{advice}", line)


def _check_header(names: list[str], name: str, line: int) -> None:
    if not names:
        _refuse(name, "is empty; the first line of a CSV file names the columns")
    if "" in names:
        advice = "the first line of a CSV file names the columns" if names[0] else _PANDAS_INDEX
        _refuse(name, f"column {names.index('') + 1} has no name; {advice}", line)
    if (double := _double(names)) is not None:
        _refuse(name, f'two columns have the name "{shorten(double, 100)}"', line)


_PANDAS_INDEX = "if it is the index of a pandas table, write the file with to_csv(..., index=False)"


def _with_any_line_end(lines: Iterable[str]) -> Iterator[str]:
    """Split lines also where a carriage return stands alone, as in files of old programs. It stays in the line."""
    for line in lines:
        if "\r" in line and line.count("\r") > line.endswith("\r\n"):
            yield from _AFTER_RETURN.split(line)
        else:
            yield line


_AFTER_RETURN = re.compile(r"(?<=\r)(?=[^\n])")


def _delimiter_of(lines: Iterator[str]) -> tuple[str, Iterator[str]]:
    """Return what stands most in the header, outside of quotes, and the lines with those that were read for this."""
    head: list[str] = []
    outside = ""
    for line in lines:
        head.append(line)
        text = "".join(head)
        outside = _QUOTED.sub("", text)
        closings = _QUOTED.findall(text)  # empty where the text ends before
        if (text.strip() and "" not in closings) or len(text) > _LONGEST_HEADER:
            break
    return max(_DELIMITERS, key=outside.count), chain(head, lines)


def _records(lines: Iterator[str], name: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the fields of each record, with the line where it begins. Blank lines are left out."""
    number = 0
    for line in lines:
        number += 1
        if "\0" in line:
            _refuse_null(name, line, number)
        if '"' in line:
            begun = number
            fields, number = _quoted_record(line, lines, name, delimiter, number)
            yield begun, fields
        elif text := line.rstrip("\r\n"):
            yield number, text.split(delimiter)


def _quoted_record(text: str, lines: Iterator[str], name: str, delimiter: str, number: int) -> tuple[list[str], int]:
    """Return the fields of a record that begins with a line, and the number of the last line that it needs."""
    find = _FIELDS[delimiter].findall
    fields: list[str] = []
    while True:
        bare = text.rstrip("\r\n")
        found = find(bare + delimiter)
        rest = found[-1][2]
        fields += [quoted.replace('""', '"') if quoted else plain for quoted, plain, wrong in found if not wrong]
        if not rest:
            return fields, number
        text = text[len(bare) + 1 - len(rest) :]  # from the quote that is not closed, or not well, with its line end
        end = _end_of_quotes(text, 1)
        if end < len(text):
            _refuse_after_quotes(name, text, end, number)
        text, number = _until_closed(text, lines, name, number)


_FIELDS = {
    each: re.compile(f'"({_IN_QUOTES})"{each}|([^"{each}][^{each}]*+|){each}|("[\\s\\S]*+)') for each in _DELIMITERS
}
"""A field in quotes, one without, and what is neither, to the end."""


def _end_of_quotes(text: str, start: int = 0) -> int:
    """Return the index of the quote that closes, or the length of the text."""
    match = _STILL_OPEN.match(text, start)  # always one, perhaps empty
    return match.end() if match else start


def _until_closed(text: str, lines: Iterator[str], name: str, number: int) -> tuple[str, int]:
    """Return the text with the lines after it, until one closes the quote, and the number of that line."""
    parts = [text]
    opened = number
    size = len(text)
    for line in lines:
        number += 1
        size += len(line)
        if "\0" in line:
            _refuse_null(name, line, number)
        parts.append(line)
        if '"' in line and _end_of_quotes(line) < len(line):
            return "".join(parts), number
        if size > _LONGEST_RECORD:
            break
    _refuse(name, f"the quote before {shorten(text[1:].strip(), 40)!r} is never closed", opened)


def _refuse_after_quotes(name: str, text: str, end: int, number: int) -> NoReturn:
    shown = text[max(end - 20, 0) : end + 20].strip()
    _refuse(
        name, f"a quote ends the field in the middle of {shown!r}; a quote inside of quotes is written twice", number
    )


def _refuse_null(name: str, line: str, number: int) -> NoReturn:
    _refuse(name, "holds a NUL character; CSV is text, in UTF-8", number, line.index("\0") + 1)

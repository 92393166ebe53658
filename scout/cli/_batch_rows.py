"""The rows of `scout batch`: from a file or stdin, and which of their columns become which inputs."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import stat
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Self, cast

from scout.cli import _checks, _inputs
from scout.cli._exits import UsageError
from scout.cli._places import STDIN
from scout.cli._spelling import suggestion
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from scout import BatchItem, LoadedWorkflow
    from scout.cli._inputs import Given

Row = dict[str, Any]


class Column(NamedTuple):
    """A column that was named for an input: `INPUT=COLUMN`, or `INPUT:=COLUMN` for cells that hold JSON."""

    name: str
    column: str
    is_json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which rows are run, and what is sent of them."""
    parser.add_argument(
        "rows", metavar="ROWS", help="the rows: a file that ends in .csv, .tsv, .jsonl or .ndjson; '-' for stdin"
    )
    group = parser.add_argument_group("inputs")
    group.add_argument(
        "--column",
        action="append",
        default=[],
        type=_column,
        metavar="INPUT=COLUMN",
        help="send a column as an input of another name; INPUT:=COLUMN reads its cells as JSON; may be repeated",
    )
    _inputs.add_input(parser, "the same for all rows, and wins over a column; may be repeated")
    group.add_argument("--limit", type=int, metavar="N", help="only the first N rows")
    group.add_argument(
        "--key", metavar="COLUMN", help="the column that names a row in the journal (default: all that is sent)"
    )


def _column(text: str) -> Column:
    name, equals, column = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not equals or not name or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is neither INPUT=COLUMN nor INPUT:=COLUMN")
    return Column(name, column, is_json)


# --- Reading ------------------------------------------------------------------------------------------------------


class Source:
    """A file of rows, or stdin. A context manager, in which it can be read.

    Args:
        name: The name of the file; `-` for stdin.
        limit: The number of rows at most; `None` for all.
        again: True when the rows are needed more than once.
    """

    def __init__(self, name: str, limit: int | None, *, again: bool) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"--limit must be a whole number, 1 or more, not {limit}")
        self.name = STDIN if name == "-" else name
        self._limit = limit
        self._kept: BinaryIO | None = None
        self._path = None if name == "-" else Path(name)
        self.is_stream = self._path is None or _is_pipe(self._path)
        if self.is_stream and again:
            # Two readers need all of it; memory may be too small.
            self._kept = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed by `__exit__`
            self.is_stream = False

    def __enter__(self) -> Self:
        if self._kept is not None:
            with self._opened() as file:
                shutil.copyfileobj(file, self._kept)
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows.

        Raises:
            ConfigurationError: the file cannot be read, or a line of it is wrong.
        """
        from scout.batch import read_rows

        kind = None if self._path is None else _KINDS.get(self._path.suffix.lower())
        if self._kept is not None:
            self._kept.seek(0)
            yield from islice(read_rows(self._kept, self.name, kind), self._limit)
            return
        with self._opened() as file:
            yield from islice(read_rows(file, self.name, kind), self._limit)

    @contextlib.contextmanager
    def _opened(self) -> Generator[BinaryIO]:
        if self._path is None:
            yield _stdin()
            return
        try:
            file = self._path.open("rb")
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            raise UsageError(f"cannot read {self.name}: {getattr(error, 'strerror', None) or error}") from None
        with file:
            yield file


def _stdin() -> BinaryIO:
    return sys.stdin.buffer


_KINDS: dict[str, Any] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def _is_pipe(path: Path) -> bool:
    """Return True for a pipe or device, which can be read once. A file must have a name that says what is in it."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the rows: {path}: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISDIR(mode):
        raise UsageError(f"{path} is a folder; ROWS is a file in it")
    if not stat.S_ISREG(mode):
        return True
    if path.suffix.lower() not in _KINDS:
        raise UsageError(
            f"{path}: a file of rows ends in .csv, .tsv, .jsonl or .ndjson; others can come from stdin, with '-'"
        )
    return False


class Survey(NamedTuple):
    """What is known of the rows before any is sent.

    Attributes:
        rows: The rows, to be read once.
        columns: The names of the columns, in order.
        total: The number of rows; `None` for a stream.
        is_whole: True when there are no columns but these.
    """

    rows: Iterable[Row]
    columns: list[str]
    total: int | None
    is_whole: bool


def survey(source: Source, columns: Iterable[Column]) -> Survey:
    """Read the rows once, so that what is wrong with the last of them is known before the first is sent.

    Of a stream only the first row is read.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is wrong.
        UsageError: a cell is not the JSON that it should be.
    """
    if source.is_stream:
        rows = iter(source)
        first = next(rows, None)
        if first is None:
            return Survey((), [], 0, is_whole=True)
        return Survey(_with_first(first, rows), list(first), None, is_whole=False)
    names: dict[str, None] = {}
    total = 0
    as_json = [column for column in columns if column.is_json]
    for total, row in enumerate(source, 1):
        if row.keys() - names.keys():
            names |= dict.fromkeys(row)
        for column in as_json:
            if column.column in row:
                cell(column, row, total)
    return Survey(source, list(names), total, is_whole=True)


def _with_first(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def cell(column: Column, row: Mapping[str, Any], number: int) -> Any:
    """Return the value of a cell.

    Args:
        column: The column.
        row: The row, which has it.
        number: The number of the row, from 1.

    Raises:
        UsageError: it is not the JSON that it should be.
    """
    value = row[column.column]
    if not column.is_json or not isinstance(value, str):
        return value
    try:
        return _inputs.parse_value(value)
    except ValueError as error:
        advice = f"; for text write --column {column.name}={column.column}"
        raise UsageError(f"row {number}: the cell {column.column} is not JSON: {error}{advice}") from None


# --- What is sent -------------------------------------------------------------------------------------------------


class Sending:
    """Which columns are sent as which inputs.

    Args:
        columns: The columns that are sent.
        is_all: Send all columns under their own names.
        same: The inputs that are the same for all rows.
        key: The column that names a row; it is sent as well.
    """

    def __init__(self, columns: list[Column], *, is_all: bool, same: dict[str, Any], key: str | None) -> None:
        self.columns = columns
        self._is_all = is_all
        self._same = same
        self._key = key

    def inputs(self, row: Row, number: int) -> Row:
        """Return the inputs of a row with a number, from 1.

        Raises:
            UsageError: a cell is not the JSON that it should be.
        """
        found = dict(row) if self._is_all else {}
        for column in self.columns:
            if column.column in row:
                found[column.name] = cell(column, row, number)
        found |= self._same
        if self._key is not None and self._key in row:
            found[self._key] = row[self._key]
        return found


def decide(args: argparse.Namespace, workflow: LoadedWorkflow | None, found: Survey, source: Source) -> Sending:
    """Decide which columns are sent, and say which are not, and which inputs have none.

    Args:
        args: The arguments of the command.
        workflow: The workflow; `None` for a stored one, of whose inputs nothing is known.
        found: What is known of the rows.
        source: The rows.

    Raises:
        UsageError: a column that is named does not exist, or nothing of the rows would be sent.
    """
    named: list[Column] = args.column
    for option, name in [*(("--column", each.column) for each in named), *([("--key", args.key)] if args.key else [])]:
        if found.total != 0 and name not in found.columns:
            _say_unknown(option, name, found, source)
    given: list[Given] = args.input
    same = {each.name: each.read() for each in given}
    declared = _declared(workflow)
    if not declared:
        return Sending(named, is_all=not named, same=same, key=args.key)
    taken = {each.name for each in named}
    columns = [*named, *(Column(name, name, is_json=False) for name in found.columns if name in declared)]
    columns = [each for each in columns if each in named or each.name not in taken]
    if not args.no_check and workflow is not None and found.total != 0:
        _check(args, workflow, declared, columns, found, source, {*same})
    return Sending(columns, is_all=False, same=same, key=args.key)


def _declared(workflow: LoadedWorkflow | None) -> list[str]:
    from scout.checks import input_names

    return [] if workflow is None else input_names(workflow.config)


def _say_unknown(option: str, name: str, found: Survey, source: Source) -> None:
    hint = suggestion(name, found.columns) or f"; it has {_checks.few(found.columns)}"
    if found.is_whole:
        raise UsageError(f"{option} {name}: {source.name} has no such column{hint}")
    talk(f"warning: {option} {name}: the first row of {source.name} has no such column{hint}")


def _check(
    args: argparse.Namespace,
    workflow: LoadedWorkflow,
    declared: list[str],
    columns: list[Column],
    found: Survey,
    source: Source,
    same: set[str],
) -> None:
    for column in args.column:
        _checks.warn_of_unknown_inputs(workflow, {column.name: None})
    _checks.warn_of_unknown_inputs(workflow, dict.fromkeys(same))
    sent = {each.column for each in columns}
    if not sent:
        near = [(name, hint) for name in found.columns if (hint := suggestion(name, declared))]
        example = f"--column {declared[0]}={found.columns[0] if found.columns else 'COLUMN'}"
        message = f"no column of {source.name} is an input of the workflow: it has {_checks.few(found.columns)}, and "
        message += f"the workflow has {_checks.few(declared)}; name the column of an input, such as {example}"
        if found.is_whole:
            raise UsageError(message + "".join(f" ({name}{hint})" for name, hint in near[:1]))
        talk(f"warning: {message}")
        return
    have = {each.name for each in columns} | same
    rest = [name for name in found.columns if name not in sent and name != args.key]
    if rest:
        without = [name for name in declared if name not in have]
        hint = next((hint for name in rest if (hint := suggestion(name, without))), "")
        talk(f"columns that are not sent, because they are not inputs: {_checks.few(rest)}{hint}")
    for name in _required(workflow):
        if name in declared and name not in have:
            where = "" if found.is_whole else "the first row of "
            talk(f"warning: {where}{source.name} has no column for the input {name}, which has no default")


def _required(workflow: LoadedWorkflow) -> list[str]:
    """Return the inputs that have no default and are not optional, as far as the file says it."""
    return [
        item["key"]
        for block in _objects(workflow.config.get("blocks"))
        for settings in _objects([block.get("block_inputs")])
        for item in _objects(settings.get("items"))
        if isinstance(item.get("key"), str) and not item.get("is_optional") and not item.get("default_value")
    ]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    values = cast("Iterable[Any]", value if isinstance(value, list) else ())
    return [each for each in values if isinstance(each, dict)]


def feed(found: Survey, sending: Sending) -> Feed:
    """Return the rows as they are sent, with their number where it is known."""
    return Feed(found, sending) if found.total is None else _SizedFeed(found, sending, found.total)


class Feed:
    """The rows as they are sent. Those that have no item yet are kept, also with what is not sent.

    Args:
        found: The rows.
        sending: Which columns are sent as which inputs.
    """

    def __init__(self, found: Survey, sending: Sending) -> None:
        self._found = found
        self._sending = sending
        self._kept: dict[int, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        for index, row in enumerate(self._found.rows):
            self._kept[index] = row
            yield self._sending.inputs(row, index + 1)

    def row(self, item: BatchItem) -> Row:
        """Return the row of an item, once."""
        return self._kept.pop(item.index)


class _SizedFeed(Feed):
    """Rows whose number is known."""

    def __init__(self, found: Survey, sending: Sending, total: int) -> None:
        super().__init__(found, sending)
        self._total = total

    def __len__(self) -> int:
        return self._total

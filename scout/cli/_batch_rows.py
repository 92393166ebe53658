"""The rows of `scout batch`: from a file or stdin, and which of their columns become which inputs."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import shutil
import stat
import sys
import tempfile
from itertools import chain, islice
from os import fstat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from scout.cli import _checks, _inputs
from scout.cli._exits import UsageError
from scout.cli._keeping import reason_of
from scout.cli._places import STDIN
from scout.cli._spelling import suggestion
from scout.cli._terminal import talk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from scout import BatchItem, LoadedWorkflow

Row = dict[str, Any]


class Column(NamedTuple):
    """A column that is sent as an input."""

    name: str
    column: str
    is_json: bool = False

    def value(self, row: Row, number: int) -> Any:
        """Return the value of the cell in a row, which has it, with a number, from 1.

        Raises:
            UsageError: it is not the JSON that it should be.
        """
        value = row[self.column]
        if not self.is_json or not isinstance(value, str):
            return value
        try:
            return _inputs.parse_value(value)
        except ValueError as error:
            advice = f"for text write {_option(self.name, self.column)}"
            raise UsageError(f"row {number}: the cell {self.column} is not JSON: {error}; {advice}") from None


def _option(name: str, column: str) -> str:
    return f"--column {shlex.quote(f'{name}={column}')}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which rows are run, and what is sent of them."""
    parser.add_argument("rows", metavar="ROWS", help="a file of CSV, TSV or JSON Lines, in UTF-8; '-' for stdin")
    group = parser.add_argument_group("inputs")
    group.add_argument(
        "--column",
        action="append",
        default=[],
        type=_column,
        metavar="INPUT=COLUMN",
        help="send a column as the input INPUT (default: columns that have the name of an input); INPUT:=COLUMN reads "
        "its cells as JSON; may be repeated",
    )
    _inputs.add_input(parser, "the same for all rows, and wins over a column; may be repeated")
    group.add_argument("--limit", type=int, metavar="N", help="run only the first N rows (default: all)")
    group.add_argument(
        "--key",
        metavar="COLUMN",
        help="find rows again by this column when a batch is resumed; it is sent as well (default: by all inputs)",
    )


def _column(text: str) -> Column:
    name, equals, column = text.partition("=")
    plain = name.removesuffix(":")
    if not equals or not plain or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is neither INPUT=COLUMN nor INPUT:=COLUMN")
    return Column(plain, column, is_json=name != plain)


# --- Reading ------------------------------------------------------------------------------------------------------


class Rows:
    """The rows of an open file, and what is known of them before any is sent.

    Attributes:
        name: The name of the file in messages.
        columns: The names of the columns, in order; of a stream those of the first row.
        total: The number of rows; `None` for a stream, which can be read only once.
    """

    def __init__(self, name: str, read: Callable[[], Iterator[Row]], named: list[Column], *, is_stream: bool) -> None:
        """Read the rows once, so that what is wrong with the last of them is known before the first is sent.

        Of a stream only the first row is read.

        Raises:
            ConfigurationError: the file cannot be read, or a line of it is wrong.
            UsageError: a cell is not the JSON that it should be.
        """
        self.name = name
        self.read = read
        self.total: int | None = 0
        names: dict[str, None] = {}
        if is_stream:
            stream = read()
            first = list(islice(stream, 1))
            self.read = lambda: chain(first, stream)
            self.columns = [name for row in first for name in row]
            self.total = None if first else 0
            return
        for self.total, row in enumerate(read(), 1):
            if row.keys() - names.keys():
                names |= dict.fromkeys(row)
            for column in named:
                if column.is_json and column.column in row:
                    column.value(row, self.total)
        self.columns = list(names)

    @property
    def place(self) -> str:
        """The place where the columns stand, in messages."""
        return f"the first row of {self.name}" if self.total is None else self.name


@contextlib.contextmanager
def opened(name: str, limit: int | None, named: list[Column], *, again: bool) -> Generator[Rows]:
    """Open a file of rows, or stdin for `-`. Those of a stream are kept when they are needed again.

    Raises:
        ConfigurationError: the file cannot be read, or a line of it is wrong.
        UsageError: it cannot be opened, a cell is not the JSON that it should be, or the limit is not a number of rows.
    """
    from scout.batch import read_rows

    if limit is not None and limit < 1:
        raise UsageError(f"--limit must be a whole number, 1 or more, not {limit}")
    with contextlib.ExitStack() as stack:
        try:
            file = _stdin() if name == "-" else stack.enter_context(Path(name).open("rb"))
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            raise UsageError(f"cannot read the rows: {name}: {reason_of(error)}") from None
        is_stream = name == "-" or not stat.S_ISREG(fstat(file.fileno()).st_mode)
        if is_stream and again:
            kept = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))  # memory may be too small
            shutil.copyfileobj(file, kept)
            file, is_stream = kept, False
        shown = STDIN if name == "-" else name

        def read() -> Iterator[Row]:
            if not is_stream:
                file.seek(0)
            return islice(read_rows(file, shown), limit)

        yield Rows(shown, read, named, is_stream=is_stream)


def _stdin() -> BinaryIO:
    return sys.stdin.buffer


# --- What is sent -------------------------------------------------------------------------------------------------


class Sending(NamedTuple):
    """What is sent of the rows.

    Attributes:
        columns: The columns that are sent.
        is_all: True when all columns are sent, under their own names.
        same: The inputs that are the same for all rows.
    """

    columns: list[Column]
    is_all: bool
    same: dict[str, Any]

    def inputs(self, row: Row, number: int) -> Row:
        """Return the inputs of a row with a number, from 1.

        Raises:
            UsageError: a cell is not the JSON that it should be.
        """
        found = dict(row) if self.is_all else {}
        for column in self.columns:
            if column.column in row:
                found[column.name] = column.value(row, number)
        return found | self.same


def decide(args: argparse.Namespace, workflow: LoadedWorkflow | None, rows: Rows) -> Sending:
    """Decide which columns are sent, and say which are not, and which inputs have none.

    Nothing is known of the inputs of a stored workflow, for which `workflow` is `None`.

    Raises:
        UsageError: a column that is named does not exist, or nothing of the rows would be sent.
    """
    from scout.checks import input_names

    named: list[Column] = args.column
    key = [] if args.key is None else [Column(args.key, args.key)]
    for option, each in [*(("--column", each) for each in named), *(("--key", each) for each in key)]:
        if rows.columns and each.column not in rows.columns:
            hint = suggestion(each.column, rows.columns) or f"; it has {_checks.few(rows.columns)}"
            _complain(rows, f"{option} {each.column}: {rows.place} has no such column{hint}")
    same = {each.name: each.read() for each in args.input}
    declared = [] if workflow is None else input_names(workflow.config)
    taken = dict.fromkeys(each.name for each in named)
    columns = [*named, *(Column(name, name) for name in rows.columns if name in declared and name not in taken)]
    if workflow is not None and declared and rows.columns and not args.no_check:
        _checks.warn_of_unknown_inputs(workflow, taken | same)
        _compare(rows, declared, columns, {*same, *(each.name for each in columns)}, args.key)
    return Sending([*columns, *key], is_all=not declared and not named, same=same)


def _complain(rows: Rows, message: str) -> None:
    """Refuse what is wrong with the columns. Of a stream only the first row is known, so it is a warning."""
    if rows.total is not None:
        raise UsageError(message)
    talk(f"warning: {message}")


def _compare(rows: Rows, declared: list[str], columns: list[Column], have: set[str], key: str | None) -> None:
    sent = {each.column for each in columns}
    rest = [name for name in rows.columns if name not in sent and name != key]
    without = [name for name in declared if name not in have]
    hint = next((f" ({name}{hint})" for name in rest if (hint := suggestion(name, without))), "")
    if not columns:
        _complain(
            rows,
            f"no column of {rows.place} is an input of the workflow: it has {_checks.few(rows.columns)}, and the "
            f"workflow has {_checks.few(declared)}; say which column is which input, such as "
            f"{_option(declared[0], rows.columns[0])}{hint}",
        )
        return
    if rest:
        talk(f"columns that are not sent, because they are not inputs: {_checks.few(rest)}{hint}")
    if without:
        advice = f"--column {without[0]}=COLUMN sends a column of another name"
        talk(f"inputs that {rows.place} has no column for: {_checks.few(without)}; {advice}")


class Feed:
    """The rows as they are sent. Those that have no item yet are kept, also with what is not sent."""

    def __init__(self, rows: Rows, sending: Sending) -> None:
        self._rows = rows
        self._sending = sending
        self._kept: dict[int, Row] = {}

    def __iter__(self) -> Iterator[Row]:
        for index, row in enumerate(self._rows.read()):
            self._kept[index] = row
            yield self._sending.inputs(row, index + 1)

    def __len__(self) -> int:
        if self._rows.total is None:
            raise TypeError("the number of rows of a stream is not known")
        return self._rows.total

    def row(self, item: BatchItem) -> Row:
        """Return the row of an item, once."""
        return self._kept.pop(item.index)

"""The rows of a batch: iterables, tables, CSV and JSON Lines, and what is said of those that are wrong."""

import contextlib
import csv
import gc
import io
import itertools
import json
import os
import sqlite3
import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scout import ConfigurationError
from scout._json import parse_json
from scout.batch import _rows
from scout.batch._rows import read_rows, rows_of, total_of


def rows_in(data: str | bytes, kind: Any = "csv") -> list[dict[str, Any]]:
    binary = io.BytesIO(data.encode() if isinstance(data, str) else data)
    return list(read_rows(binary, "rows", kind))


def problem_with(data: str | bytes, kind: Any = "csv") -> str:
    with pytest.raises(ConfigurationError) as caught:
        rows_in(data, kind)
    assert caught.value.run_may_have_started is False
    return str(caught.value)


def problem_of(rows: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        list(rows_of(rows))
    return str(caught.value)


def refused_at_once(rows: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        rows_of(rows)
    return str(caught.value)


# --- Iterables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rows",
    [
        [{"a": 1}, {"a": 2}],
        ({"a": 1}, {"a": 2}),
        iter([{"a": 1}, {"a": 2}]),
        {1: {"a": 1}, 2: {"a": 2}}.values(),
        [OrderedDict(a=1), MappingProxyType({"a": 2})],
    ],
    ids=["list", "tuple", "iterator", "view", "mappings"],
)
def test_rows_are_the_mappings_of_an_iterable(rows: Iterable[Mapping[str, Any]]) -> None:
    assert list(rows_of(rows)) == [{"a": 1}, {"a": 2}]


def test_rows_of_the_csv_module_are_rows_as_long_as_they_fit() -> None:
    assert list(rows_of(csv.DictReader(["a,b", "1,2"]))) == [{"a": "1", "b": "2"}]
    assert "row 1: the key None is not text" in problem_of(csv.DictReader(["a,b", "1,2,3"]))
    assert "row 1 is a list; each row is a mapping" in problem_of(csv.reader(["a,b", "1,2"]))


def test_each_row_is_new_so_that_a_source_may_use_its_own_again() -> None:
    def source() -> Iterator[dict[str, int]]:
        row = {"a": 0}
        for number in range(3):
            row["a"] = number
            yield row

    assert list(rows_of(source())) == [{"a": 0}, {"a": 1}, {"a": 2}]


def test_a_source_is_asked_for_one_row_at_a_time() -> None:
    numbers = itertools.count()
    rows = rows_of({"a": number} for number in numbers)
    assert next(rows) == {"a": 0}
    assert next(numbers) == 1


async def test_an_asynchronous_iterable_gives_an_asynchronous_iterator() -> None:
    async def source() -> AsyncIterator[Any]:
        yield {"a": 1}
        yield MappingProxyType({"a": 2})
        yield ["a"]

    rows = rows_of(source())
    assert [await anext(rows), await anext(rows)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(ConfigurationError, match="row 3 is a list; each row is a mapping"):
        await anext(rows)


class Point(NamedTuple):
    x: int


def row_of_sqlite() -> object:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        return database.execute("SELECT 'x' AS a").fetchone()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("x", "row 2 is text; each row is a mapping of input names to values"),
        (3, "row 2 is a number; each row"),
        (None, "row 2 is nothing; each row"),
        (["x"], "row 2 is a list; each row"),
        (Point(1), "row 2 is a list; each row is a mapping of input names to values; pass its _asdict()"),
        (row_of_sqlite(), "row 2 is Row; each row is a mapping of input names to values; pass dict(row)"),
        ({1: "x"}, "row 2: the key 1 is not text"),
    ],
)
def test_a_row_that_is_not_a_mapping_of_names_is_refused_by_its_number(row: object, problem: str) -> None:
    assert problem in problem_of([{"a": 1}, row])


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ({"a": 1}, "rows must not be a mapping; pass an iterable of mappings, the path of a file, or a table"),
        (b"a,b", "rows must not be bytes; "),
        (3, "rows must not be a number; "),
        (None, "rows must not be nothing; "),
        (dict, "rows must not be type; "),
        (io.StringIO("a\n1\n"), "rows must not be an open file; "),
        ("a,b\n1,2\n", "rows must not be the text of a file; "),
        ("", "rows must not be empty text; "),
        ("wf_1", "wf_1: is not the path of a file of rows; a file of rows ends in .csv, .tsv, .jsonl or .ndjson"),
        ("no/rows.json", "rows.json: is not the path of a file of rows; a file of rows ends in .csv, "),
        ("x" * 10_000, f"{'x' * 200}…: is not the path of a file of rows"),
        (SimpleNamespace(collect=list), "call its collect() first"),
    ],
    ids=range(12),
)
def test_what_cannot_be_rows_is_refused_at_once(rows: object, problem: str) -> None:
    assert problem in refused_at_once(rows)


def test_an_exception_of_the_source_passes_through() -> None:
    def source() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise ZeroDivisionError

    rows = rows_of(source())
    assert next(rows) == {"a": 1}
    with pytest.raises(ZeroDivisionError):
        next(rows)


def test_the_total_is_known_where_it_costs_nothing(tmp_path: Path) -> None:
    class Unsized(list[Any]):
        def __len__(self) -> int:
            raise TypeError("endless")

    assert total_of([{"a": 1}] * 3) == 3
    assert total_of({"x": {"a": 1}}.values()) == 1
    for rows in (iter([]), "rows.csv", tmp_path / "rows.csv", Unsized(), SimpleNamespace()):
        assert total_of(rows) is None


# --- Tables -------------------------------------------------------------------------------------------------------


class PandasTable:
    """What we use of a DataFrame of pandas."""

    def __init__(self, **columns: list[Any]) -> None:
        self.columns: list[Any] = list(columns)
        self.data = columns

    def itertuples(self, index: bool = True, name: str | None = "Pandas") -> Iterator[tuple[Any, ...]]:
        assert (index, name) == (False, None)
        return zip(*self.data.values(), strict=True)

    def __len__(self) -> int:
        return len(next(iter(self.data.values())))


class PolarsTable:
    """What we use of a DataFrame of polars."""

    schema = MappingProxyType({"a": int})
    columns = ("a",)

    def iter_rows(self, *, named: bool = False) -> Iterator[dict[str, Any]]:
        assert named
        return iter([{"a": 1}, {"a": float("nan")}])


class ArrowBatch:
    """What we use of a RecordBatch of pyarrow."""

    def __init__(self, rows: list[dict[str, Any]], names: Iterable[str] = ("a",)) -> None:
        self.rows = rows
        self.num_rows = len(rows)
        self.schema = SimpleNamespace(names=list(names))

    def slice(self, offset: int, length: int) -> "ArrowBatch":
        return ArrowBatch(self.rows[offset : offset + length])

    def to_pylist(self) -> list[dict[str, Any]]:
        assert self.num_rows <= 1000  # else a large table is in the memory twice
        return self.rows


class ArrowTable(ArrowBatch):
    def to_batches(self) -> list[ArrowBatch]:
        return [ArrowBatch(self.rows[:1]), ArrowBatch(self.rows[1:])]

    def __len__(self) -> int:
        return self.num_rows


class ArrowReader:
    schema = SimpleNamespace(names=["a"])

    def read_next_batch(self) -> ArrowBatch:
        raise AssertionError("it is iterated")

    def __iter__(self) -> Iterator[ArrowBatch]:
        return iter([ArrowBatch([{"a": 1}]), ArrowBatch([{"a": None}])])


class Scalar:
    """What we use of a scalar of numpy."""

    ndim = 0

    def __init__(self, value: Any, kind: str = "i") -> None:
        self.value = value
        self.dtype = SimpleNamespace(kind=kind)

    def item(self) -> Any:
        return self.value

    def __str__(self) -> str:
        return str(self.value)


class Array(list[Any]):
    """What we use of an array of numpy, which is no list."""

    ndim = 1
    dtype = SimpleNamespace(kind="i")
    __class__ = object  # type: ignore[assignment]


NAType = type("NAType", (), {"__bool__": lambda self: pytest.fail("NA has no truth")})
DAY = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ("x", "x"),
        (1, 1),
        (True, True),
        (None, None),
        (1.5, 1.5),
        (float("nan"), None),
        (Decimal("1.10"), Decimal("1.10")),
        (Decimal("NaN"), None),
        (Decimal("sNaN"), None),
        (NAType(), None),
        (DAY, "2024-01-02T03:04:05+00:00"),
        (date(2024, 1, 2), "2024-01-02"),
        (time(3, 4), "03:04:00"),
        (Scalar(3), 3),
        (Scalar(float("nan"), "f"), None),
        (Scalar("2024-01-02T00:00:00", "M"), "2024-01-02T00:00:00"),
        (Scalar("NaT", "M"), None),
        (Scalar("NaT", "m"), None),
        (Array([1, Scalar(2)]), [1, 2]),
        ([date(2024, 1, 2), (float("nan"), 2)], ["2024-01-02", [None, 2]]),
        ({"x": {"y": Scalar(1)}}, {"x": {"y": 1}}),
        (b"x", b"x"),
    ],
    ids=range(22),
)
def test_values_of_a_table_become_json_where_they_have_such_a_form(value: object, plain: object) -> None:
    [row] = rows_of(PandasTable(a=[value]))
    assert row == {"a": plain}
    assert type(row["a"]) is type(plain)


def test_values_without_a_form_in_json_stay_as_they_are() -> None:
    duration, infinite = Scalar(5, "m"), float("inf")
    [row] = rows_of(PandasTable(a=[duration], b=[infinite]))
    assert row == {"a": duration, "b": infinite}


@pytest.mark.parametrize(
    ("table", "rows", "total"),
    [
        (PandasTable(a=[1, 2], b=["x", None]), [{"a": 1, "b": "x"}, {"a": 2, "b": None}], 2),
        (PolarsTable(), [{"a": 1}, {"a": None}], None),
        (ArrowTable([{"a": 1}, {"a": DAY}]), [{"a": 1}, {"a": DAY.isoformat()}], 2),
        (ArrowBatch([{"a": number} for number in range(2500)]), [{"a": number} for number in range(2500)], None),
        (ArrowReader(), [{"a": 1}, {"a": None}], None),
    ],
    ids=["pandas", "polars", "pyarrow", "batch", "reader"],
)
def test_tables_are_read_by_their_own_iteration(table: Any, rows: list[Any], total: int | None) -> None:
    assert list(rows_of(table)) == rows
    assert total_of(table) == total


def test_the_length_of_a_table_on_many_machines_is_not_asked_for() -> None:
    table = PandasTable(a=[1])
    table.npartitions = 3  # type: ignore[attr-defined]
    assert total_of(table) is None


def test_columns_need_names_of_their_own() -> None:
    table = PandasTable(a=[1], b=[2])
    table.columns = [0, 1]
    assert refused_at_once(table) == "the column 0 is not text; name the columns of the table as the inputs"
    table.columns = ["a", "a"]
    assert refused_at_once(table) == 'two columns of the table have the name "a"'
    assert refused_at_once(ArrowTable([], names=["a", "a"])) == 'two columns of the table have the name "a"'


def test_a_dataframe_of_pandas_is_rows() -> None:
    pandas = pytest.importorskip("pandas")
    numpy = pytest.importorskip("numpy")
    table = pandas.DataFrame(
        {
            "whole": pandas.array([1, None], dtype="Int64"),
            "sure": pandas.array([True, None], dtype="boolean"),
            "real": numpy.array([1.5, float("nan")], dtype="float32"),
            "text": ["x", None],
            "kind": pandas.Categorical(["u", None]),
            "at": pandas.to_datetime(["2024-01-02T03:04:05.123456789Z", None]),
            "any": [numpy.int64(3), pandas.NaT],
            "days": [numpy.array(["2024-01-02", "NaT"], dtype="datetime64[ns]"), numpy.array([[1.5], [numpy.nan]])],
            "sparse": pandas.arrays.SparseArray([1.0, numpy.nan]),
        }
    )
    first, second = rows_of(table)
    assert json.loads(json.dumps(first)) == {
        "whole": 1,
        "sure": True,
        "real": 1.5,
        "text": "x",
        "kind": "u",
        "at": "2024-01-02T03:04:05.123456789+00:00",
        "any": 3,
        "days": ["2024-01-02T00:00:00.000000000", None],
        "sparse": 1.0,
    }
    assert second == dict.fromkeys(first, None) | {"days": [[1.5], [None]]}
    assert total_of(table) == 2


def test_a_dataframe_of_polars_is_rows() -> None:
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"day": [date(2024, 1, 2), None], "real": [1.5, float("nan")], "list": [[time(1)], None]})
    assert list(rows_of(table)) == [
        {"day": "2024-01-02", "real": 1.5, "list": ["01:00:00"]},
        {"day": None, "real": None, "list": None},
    ]
    assert "call its collect() first" in refused_at_once(table.lazy())


def test_tables_of_pyarrow_are_rows() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table({"day": [date(2024, 1, 2), None], "kind": pyarrow.array(["x", None]).dictionary_encode()})
    rows = [{"day": "2024-01-02", "kind": "x"}, {"day": None, "kind": None}]
    for source in (table, table.to_reader(), table.to_batches()[0]):
        assert list(rows_of(source)) == rows
    assert total_of(table) == 2


# --- CSV ----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
CELLS = st.one_of(TEXTS, st.text(alphabet='a,;\t\r\n" \u2028\ufeff'))


@given(
    rows=st.integers(1, 4).flatmap(lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)),
    delimiter=st.sampled_from(",;\t"),
    line_end=st.sampled_from(["\r\n", "\n", "\r"]),
    mark=st.booleans(),
)
def test_what_csv_writes_comes_back(rows: list[list[str]], delimiter: str, line_end: str, mark: bool) -> None:
    names = [f"{delimiter}\n;{number}\t\r," for number in range(len(rows[0]))]
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    data = file.getvalue().encode("utf-8-sig" if mark else "utf-8")
    found = rows_in(data, "tsv" if len(names) == 1 and delimiter == "\t" else "csv")
    assert found == [dict(zip(names, row, strict=True)) for row in rows]


@given(rows=st.lists(st.lists(CELLS.filter(lambda text: "\r" not in text), min_size=2, max_size=2)))
def test_what_csv_writes_with_few_quotes_comes_back(rows: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["a", "b"], *rows])
    assert rows_in(file.getvalue()) == [dict(zip("ab", row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a,b\n1,2\n", {"a": "1", "b": "2"}),
        ("a;b\n1,5;2\n", {"a": "1,5", "b": "2"}),
        ("a\tb\n1,5\t2;3\n", {"a": "1,5", "b": "2;3"}),
        ("a;b,c\n1;2,3\n", {"a;b": "1", "c": "2"} | {"c": "3", "a;b": "1;2"}),
        ('"a,b,c";d\n1;2\n', {"a,b,c": "1", "d": "2"}),
        ('"a\n,,,";"b"\n1;2\n', {"a\n,,,": "1", "b": "2"}),
        ('"a ""x"", ,";b\n1;2\n', {'a "x", ,': "1", "b": "2"}),
        ('5" size;b\n1;2\n', {'5" size': "1", "b": "2"}),
        ("prompt\nHi; you\n", {"prompt": "Hi; you"}),
        ('prompt\n""\n', {"prompt": ""}),
        ("\n\na,b\n\n1,2", {"a": "1", "b": "2"}),
        ("a,b\n1,2\n\n  \n\r\n", {"a": "1", "b": "2"}),
        ("a,b\r1,2\r", {"a": "1", "b": "2"}),
        ("a,b\r1,2", {"a": "1", "b": "2"}),
        ("\ufeffa,b\n1,\n", {"a": "1", "b": ""}),
        ('\ufeff"a",b\n1,2\n', {"a": "1", "b": "2"}),
        (' a,b \n 1 ,"2"\n', {" a": " 1 ", "b ": "2"}),
        ('a,b\n5" x,"He said ""hi"""\n', {"a": '5" x', "b": 'He said "hi"'}),
        ('a,b\n"x\r\ny\n\nz","\n"\n', {"a": "x\r\ny\n\nz", "b": "\n"}),
        ("a,b\nx\u2028y\x85\x0bz\x1c,2\n", {"a": "x\u2028y\x85\x0bz\x1c", "b": "2"}),
        ("a,b\nnull,1e5\n", {"a": "null", "b": "1e5"}),
    ],
)
def test_csv_is_read_as_spreadsheets_and_programs_write_it(text: str, row: dict[str, str]) -> None:
    assert rows_in(text) == [row]


def test_the_name_of_a_file_says_how_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "rows.TSV").write_text("a,b\tc\n1,2\t3\n")
    assert list(rows_of(str(tmp_path / "rows.TSV"))) == [{"a,b": "1,2", "c": "3"}]
    (tmp_path / "rows.Csv").write_text("a,b\tc\n1,2\t3\n")
    assert list(rows_of(tmp_path / "rows.Csv")) == [{"a": "1", "b\tc": "2\t3"}]
    for name in ("rows.jsonl", "rows.NDJSON"):
        (tmp_path / name).write_text('{"a": 1}\n')
        assert list(rows_of(os.fsencode(tmp_path / name).decode())) == [{"a": 1}]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("", "rows: is empty; the first line of a CSV file names the columns"),
        ("\n\n", "is empty"),
        ("a,b\n1\n", "rows, line 2: the row has 1 field, and the header has 2"),
        ('a,b\n1,2\n\n"x\ny",2,3\n', "rows, line 4: the row has 3 fields, and the header has 2; a field with"),
        ("a\nHello, you\n", "line 2: the row has 2 fields, and the header has 1; a field with a comma"),
        ("a;b\n1;2;3\n", "a field with a semicolon in it must stand in quotes"),
        ("a,b,\n1,2,\n", "rows, line 1: column 3 has no name; the first line of a CSV file names the columns"),
        (",a\n0,x\n", "rows, line 1: column 1 has no name; if it is the index of a pandas table, write the file with"),
        ("\na,b,a\n", 'rows, line 2: two columns have the name "a"'),
        ('a,b\n1,2\n3,"4\n5,6\n', "rows, line 3: is not CSV: unexpected end of data in line 4; a field that"),
        ('a,b\n"x\ny","He said "hi" to me"\n', "line 2: is not CSV: ',' expected after '\"' in line 3; a field"),
        ('a,b\n"1" ,2\n', "rows, line 2: is not CSV: ',' expected after '\"'; a field that begins with"),
        ('"a\n', "rows, line 1: is not CSV: unexpected end of data; a field that begins with"),
        ("a,b\n1,x\0y\n", "rows, line 2, column 4: holds a NUL character"),
        ('a,b\n1,"x\n\0y"\n', "rows, line 3, column 1: holds a NUL character"),
        (b"a,b\n1,2\nM\xfcller,3\n", "rows, line 3, column 2: is not UTF-8: byte 0xfc; save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "rows, line 1, column 1: is not UTF-8: byte 0xff; this is UTF-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "rows, line 1, column 2: holds a NUL character; rows are text, in UTF-8"),
        (b"PK\x03\x04\x80", "a workbook of a spreadsheet"),
        (b"\x1f\x8b\x08", "this file is compressed"),
    ],
)  # fmt: skip
def test_wrong_csv_is_refused_by_its_line(data: str | bytes, problem: str) -> None:
    assert problem in problem_with(data)


def test_rows_before_a_wrong_one_are_read() -> None:
    rows = read_rows(io.BytesIO(b"a\n1\n2,3\n"), "rows", "csv")
    assert next(rows) == {"a": "1"}
    with pytest.raises(ConfigurationError, match="line 3"):
        next(rows)


def test_a_header_without_rows_is_an_empty_table() -> None:
    assert rows_in("a,b\n") == rows_in("a") == []


@pytest.fixture
def small_limit() -> Iterator[None]:
    before = csv.field_size_limit(1000)
    yield
    csv.field_size_limit(before)


@pytest.mark.usefixtures("small_limit")
def test_fields_may_be_longer_than_the_limit_of_the_csv_module() -> None:
    text = 'x"\n' * 1000
    assert rows_in(f'a,b\n{"y" * 3000},"{text.replace(chr(34), chr(34) * 2)}"\n') == [{"a": "y" * 3000, "b": text}]
    larger = csv.field_size_limit() * 2
    csv.field_size_limit(larger)
    assert rows_in("a\n1\n") == [{"a": "1"}]
    assert csv.field_size_limit() == larger


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_quote_that_is_not_closed_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    monkeypatch.setattr(_rows, "_LONGEST_FIELD", 1000)
    for head in ([b"a\n", b'"x\n'], [b'"x\n']):
        lines = itertools.chain(head, itertools.repeat(b"y\n"))
        with pytest.raises(ConfigurationError, match=rf"line {len(head)}: is not CSV: field larger .* in line 50\d; "):
            list(read_rows(lines, "rows", kind))


# --- JSON Lines ---------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@given(
    rows=st.lists(st.dictionaries(TEXTS, JSON, max_size=3)),
    ascii_only=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n", "\n\n", " \t\n"]),
    mark=st.booleans(),
    ended=st.booleans(),
)
def test_what_json_writes_comes_back(
    rows: list[dict[str, Any]], ascii_only: bool, line_end: str, mark: bool, ended: bool
) -> None:
    text = line_end.join(json.dumps(row, ensure_ascii=ascii_only) for row in rows) + line_end * ended
    assert rows_in(text.encode("utf-8-sig" if mark else "utf-8"), "jsonl") == rows


def test_numbers_arrive_whole() -> None:
    digits = "1" * 5000
    [row] = rows_in(f'{{"a": {digits}, "b": 1e400, "c": 0.1}}', "jsonl")
    assert row == {"a": Decimal(digits), "b": Decimal("1e400"), "c": 0.1}


def test_other_ends_of_lines_are_text_in_json() -> None:
    text = "x\u2028y\u2029\x85"
    assert rows_in(f'{{"a": "{text}"}}\r\n{{"a": 1}}', "jsonl") == [{"a": text}, {"a": 1}]


def test_a_file_of_json_lines_may_be_empty() -> None:
    assert rows_in("", "jsonl") == rows_in("\ufeff\n \n", "jsonl") == []


def test_a_line_of_json_may_be_huge() -> None:
    text = "x" * 5_000_000
    assert rows_in(json.dumps({"a": text}), "jsonl") == [{"a": text}]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ('{"a": 1}\n\n{"a": }\n', "rows, line 3, column 7: is not JSON: Expecting value"),
        ('{"a": 1}\n{"a": "x', "rows, line 2, column 7: is not JSON: Unterminated string"),
        ('{"a": 1} {"a": 2}\n', "rows, line 1, column 10: is not JSON: Extra data"),
        ('\ufeff{"a": }\n', "rows, line 1, column 7: is not JSON"),
        ('{"a": NaN}\n', "rows, line 1: is not JSON that can be read: NaN is not JSON"),
        ('{"a": 1, "b": 1, "b": 2}\n', 'line 1: is not JSON that can be read: an object has the duplicate key "b"'),
        ('\n["a"]\n', 'rows, line 2: is a list; each line is an object, such as {"name": "value"}'),
        ("3", "rows, line 1: is a number; each line is an object"),
        ('{"a": 1}\nnull\n', "rows, line 2: is nothing; each line"),
        ('[{"a": 1}]', "If the whole file is one JSON document, pass the list that is in it"),
        ('[\n{"a": 1}\n]', "If the whole file is one JSON document, pass the list that is in it"),
        ('{\n"a": 1\n}', "If the whole file is one JSON document, pass the list that is in it"),
        ("[" * 200_000, "rows, line 1: is not JSON that can be read: it is nested too deeply"),
        (b'{"a": "\xff"}\n', "rows, line 1, column 8: is not UTF-8: byte 0xff"),
        (b'{"a": 1}\n{"a": "\xed\xa0\xbd"}\n', "rows, line 2, column 8: is not UTF-8: byte 0xed"),
        ('{"a": "\0"}', "rows, line 1, column 8: holds a NUL character"),
        ("a,b\n1,2\n", "rows, line 1, column 1: is not JSON"),
    ],
    ids=range(17),
)  # fmt: skip
def test_wrong_json_lines_are_refused_by_their_line(data: str | bytes, problem: str) -> None:
    assert problem in problem_with(data, "jsonl")


def test_a_key_that_stands_twice_is_found_as_the_parser_finds_it() -> None:
    with pytest.raises(ValueError, match='duplicate key "b"'):
        parse_json('{"a": 1, "b": 1, "b": 2, "a": 3}', unique_keys=True)


# --- Files and streams --------------------------------------------------------------------------------------------


def open_files(path: Path) -> int:
    return sum(each.is_symlink() and each.readlink() == path for each in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the list of open files of Linux")
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_a_file_is_open_only_while_it_is_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("a\n1\n2\n3,4\n" if name == "rows.csv" else '{"a": 1}\n{"a": 2}\nx\n')
    unread = rows_of(path)
    abandoned = rows_of(path)
    failing = rows_of(path)
    assert open_files(path) == 0
    next(abandoned)
    assert open_files(path) == 1
    abandoned.close()
    assert open_files(path) == 0
    assert next(failing)
    assert next(failing)
    with pytest.raises(ConfigurationError):
        next(failing)
    assert open_files(path) == 0
    forgotten = rows_of(path)
    next(forgotten)
    del forgotten
    gc.collect()
    assert open_files(path) == 0
    assert next(unread)
    unread.close()


def test_a_file_that_does_not_exist_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    expected = f"rows.csv: cannot be read: No such file or directory (looked in {tmp_path})"
    assert refused_at_once("rows.csv") == expected
    assert refused_at_once(str(tmp_path / "x.jsonl")).endswith("x.jsonl: cannot be read: No such file or directory")
    assert "embedded null byte" in refused_at_once("a\0.csv")
    (tmp_path / "dir.csv").mkdir()
    assert refused_at_once("dir.csv") == "dir.csv: is a folder; give a file in it"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "looked in a folder that is gone" in refused_at_once("rows.csv")


def test_a_file_that_disappears_before_it_is_read_is_an_error_then(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    rows = rows_of(tmp_path / "rows.csv")
    (tmp_path / "rows.csv").unlink()
    with pytest.raises(ConfigurationError, match=r"rows\.csv: cannot be read: No such file"):
        next(rows)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("rows.json", "; pass the list that is in this one"),
        ("rows.xlsx", "; read this one into a table first"),
        ("rows.csv.gz", "; unpack this one first"),
        ("rows.txt", ".ndjson"),
        ("rows", ".ndjson"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_advice(tmp_path: Path, name: str, advice: str) -> None:
    (tmp_path / name).touch()
    problem = refused_at_once(tmp_path / name)
    assert problem.startswith(f"{tmp_path / name}: a file of rows ends in .csv, .tsv, .jsonl or .ndjson")
    assert problem.endswith(advice)


@pytest.mark.parametrize("text", ["a\n1\n2\n", '{"a": "1"}\n{"a": "2"}\n', '\n{"a": "1"}\n{"a": "2"}'])
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_rows_come_through_pipes(tmp_path: Path, text: str) -> None:
    named = tmp_path / "pipe"
    os.mkfifo(named)
    writer = threading.Thread(target=named.write_text, args=[text], daemon=True)
    writer.start()
    assert list(rows_of(named)) == [{"a": "1"}, {"a": "2"}]
    writer.join(10)
    source, target = os.pipe()
    os.write(target, text.encode())
    os.close(target)
    try:
        assert list(rows_of(f"/dev/fd/{source}")) == [{"a": "1"}, {"a": "2"}]
    finally:
        os.close(source)


def test_a_row_is_given_as_soon_as_its_line_has_come() -> None:
    source, target = os.pipe()
    with os.fdopen(source, "rb") as file, os.fdopen(target, "wb", buffering=0) as pipe:
        pipe.write(b"a,b\n1,2\n")
        rows = read_rows(file, "rows", "csv")
        assert next(rows) == {"a": "1", "b": "2"}
        pipe.write(b"3,4\n")
        assert next(rows) == {"a": "3", "b": "4"}


def test_a_stream_is_left_open() -> None:
    file = io.BytesIO(b"a\n1\n")
    assert list(read_rows(file, "rows", "csv")) == [{"a": "1"}]
    assert not file.closed


def test_a_stream_that_fails_is_an_error_with_its_name() -> None:
    def lines() -> Iterator[bytes]:
        yield b"a\n"
        yield b"1\n"
        raise OSError(5, "Input/output error")

    rows = read_rows(lines(), "stdin", "csv")
    assert next(rows) == {"a": "1"}
    with pytest.raises(ConfigurationError, match="stdin: cannot be read: Input/output error"):
        next(rows)


def test_memory_does_not_grow_with_the_file() -> None:
    csv_lines = itertools.chain([b"a,b\n"], itertools.cycle([b'1,"2\n', b'"\n']))
    json_lines = itertools.repeat(b'{"a": "1", "b": "2"}\n')
    for rows in (read_rows(csv_lines, "rows"), read_rows(json_lines, "rows"), rows_of({"a": 1} for _ in csv_lines)):
        next(rows)
        tracemalloc.start()
        try:
            for _ in itertools.islice(rows, 3000):
                pass
            assert tracemalloc.get_traced_memory()[0] < 20_000
        finally:
            tracemalloc.stop()

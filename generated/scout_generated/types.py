"""Contains some shared types for properties"""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, Any, BinaryIO, ClassVar, Generic, Literal, TypeVar


class Unset:
    """The value of a field that was not given. There is one, ``UNSET``, also after copying and pickling."""

    _only: ClassVar["Unset | None"] = None

    def __new__(cls) -> "Unset":
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "UNSET"

    def __reduce__(self) -> str:
        # A text is the name of a global: copy, deepcopy and pickle all end at the one UNSET.
        return "UNSET"


UNSET: Unset = Unset()

# The types that `httpx.Client(files=)` can accept, copied from that library.
FileContent = IO[bytes] | bytes | str
FileTypes = (
    # (filename, file (or bytes), content_type)
    tuple[str | None, FileContent, str | None]
    # (filename, file (or bytes), content_type, headers)
    | tuple[str | None, FileContent, str | None, Mapping[str, str]]
)
RequestFiles = list[tuple[str, FileTypes]]


@dataclass
class File:
    """Contains information for file uploads"""

    payload: BinaryIO
    file_name: str | None = None
    mime_type: str | None = None

    def to_tuple(self) -> FileTypes:
        """Return a tuple representation that httpx will accept for multipart/form-data"""
        return self.file_name, self.payload, self.mime_type


def http_status(code: int) -> HTTPStatus | int:
    """The status as an ``HTTPStatus``, or as it came if it has no name: servers also send 520, 529 or 999."""
    try:
        return HTTPStatus(code)
    except ValueError:
        return code


def in_order(fields: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The fields in the order of the names; those without a name there come last."""
    return {**{name: fields[name] for name in names if name in fields}, **fields}


def know_names(cls: type, names: dict[str, Any]) -> None:
    """Let the constructor of a class know names that were imported after it, as ``typing.get_type_hints`` needs."""
    vars(cls)["__init__"].__globals__.update(names)


T = TypeVar("T")


@dataclass
class Response(Generic[T]):
    """A response from an endpoint"""

    status_code: HTTPStatus | int
    content: bytes
    headers: MutableMapping[str, str]
    parsed: T | None


__all__ = [
    "UNSET",
    "File",
    "FileTypes",
    "RequestFiles",
    "Response",
    "Unset",
    "http_status",
    "in_order",
    "know_names",
]

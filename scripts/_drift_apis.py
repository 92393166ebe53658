"""The two APIs that scripts/drift compares, in one form: that of openapi.yaml, and that of the vendor's SDK.

Of the SDK the syntax trees are read: the functions in each `raw_client.py` say method, path, query, body and answer;
the classes that these name say the fields. It is neither imported nor called.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class UnreadableError(Exception):
    """Something has a form that this program does not know; the message says where."""


# --- One form for both sides --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """One value of an enumeration, or a constant. Enumerations count as open on both sides."""

    json: str


@dataclass(frozen=True)
class Named:
    """An object with fields, by the name it has in the spec."""

    name: str


@dataclass(frozen=True)
class Array:
    """A list."""

    items: Type


@dataclass(frozen=True)
class Map:
    """An object whose keys are free."""

    values: Type


# A type is the set of its alternatives. A text among them is a type of JSON, "date-time", or "any".
Alternative = str | Value | Named | Array | Map
Type = frozenset[Alternative]

NULL: Type = frozenset({"null"})
ANY: Type = frozenset({"any"})


def union(types: Iterable[Type]) -> Type:
    """Join types. What is said twice is left out: `number` beside `integer`, the text that an open enum can also be."""
    found: set[Alternative] = {each for one in types for each in one}
    values = {each for each in found if isinstance(each, Value)}
    if values == {Value("true"), Value("false")}:
        found = found - values | {"boolean"}
    elif values:
        found -= {"any", "string"}
    if "any" in found:
        return ANY
    if "number" in found:
        found -= {"integer"}
    return frozenset(found)


def show(type_: Type) -> str:
    """Return a type as text."""
    return " | ".join(sorted(map(_show, type_))) or "nothing"


def _show(alternative: Alternative) -> str:
    match alternative:
        case str():
            return alternative
        case Value(text):
            return text
        case Named(name):
            return name
        case Array(items):
            return f"[{show(items)}]"
        case Map(values):
            return f"{{{show(values)}}}"


def named(type_: Type) -> Iterator[str]:
    """Give the names of the objects in a type."""
    for each in type_:
        match each:
            case Named(name):
                yield name
            case Array(inner) | Map(inner):
                yield from named(inner)


@dataclass(frozen=True)
class Field:
    """A field of an object, or a parameter."""

    type: Type
    required: bool


Fields = dict[str, Field]


@dataclass
class Operation:
    """One method of one path."""

    method: str
    path: str
    parameters: Fields = field(default_factory=dict)  # named "query limit", "header x", "path workflow_id"
    body: Fields = field(default_factory=dict)
    answers: dict[str, Type] = field(default_factory=dict)  # by "answer 200", "stream 200"

    @property
    def place(self) -> str:
        """Method and path. The names in a path are not sent, but a new one may be a new meaning."""
        return f"{self.method} {self.path}"


@dataclass
class Api:
    """All operations, and the objects that they name."""

    operations: dict[str, Operation]
    objects: dict[str, list[Fields]]  # by their name in the spec; the SDK has several classes for some
    areas: set[str] = field(default_factory=set)  # the SDK's packages without an operation of these

    def reached(self, types: Iterable[Type]) -> set[str]:
        """Return the names of all objects that are in types, and in the fields of those."""
        found: set[str] = set()
        new = {name for each in types for name in named(each)}
        while new:
            found |= new
            fields = [each for name in new for one in self.objects.get(name, []) for each in one.values()]
            new = {name for each in fields for name in named(each.type)} - found
        return found

    def sent(self) -> set[str]:
        """Return the names of the objects that a caller sends."""
        return self.reached(each.type for one in self.operations.values() for each in one.body.values())

    def all_named(self) -> set[str]:
        """Return the names of the objects that the operations need."""
        return self.sent() | self.reached(each for one in self.operations.values() for each in one.answers.values())


# --- The spec -----------------------------------------------------------------------------------------------------


class Spec:
    """Reads an OpenAPI document."""

    def __init__(self, document: Json) -> None:
        self.document = document
        self.schemas: Json = document["components"]["schemas"]

    def read(self) -> Api:
        """Return its operations and objects."""
        operations = [
            self._operation(method.upper(), path, [*item.get("parameters", []), *each.get("parameters", [])], each)
            for path, item in self.document["paths"].items()
            for method, each in item.items()
            if method != "parameters"
        ]
        objects = {name: [self._fields(each)] for name, each in self.schemas.items() if "properties" in each}
        return Api({each.place: each for each in operations}, objects)

    def _operation(self, method: str, path: str, parameters: list[Json], operation: Json) -> Operation:
        read = Operation(method, path)
        for each in parameters:
            read.parameters[f"{each['in']} {each['name']}"] = Field(
                self._type(each["schema"]), each.get("required", False)
            )
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body:
            schema = self._resolved(body["schema"])
            if "properties" not in schema:
                raise UnreadableError(f"openapi.yaml: the body of {read.place} is not an object with properties")
            read.body = self._fields(schema)
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                is_stream = media_type == "text/event-stream"
                schema = content_schema(content["schema"], read.place) if is_stream else content["schema"]
                read.answers[f"{'stream' if is_stream else 'answer'} {status}"] = self._type(schema)
        return read

    def _resolved(self, schema: Json) -> Json:
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[-1]]
        return schema

    def _fields(self, schema: Json) -> Fields:
        required = schema.get("required", [])
        return {name: Field(self._type(each), name in required) for name, each in schema["properties"].items()}

    def _type(self, schema: Json) -> Type:
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[-1]
            return frozenset({Named(name)}) if "properties" in self.schemas[name] else self._type(self.schemas[name])
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return union(self._type(each) for each in schema[key])
        if len(schema.get("allOf", [])) == 1:
            return self._type(schema["allOf"][0])
        if "const" in schema or "enum" in schema:
            values = schema["enum"] if "enum" in schema else [schema["const"]]
            return frozenset(Value(json.dumps(each)) for each in values)
        kinds = schema.get("type", "any")
        return union(self._of(each, schema) for each in ([kinds] if isinstance(kinds, str) else kinds))

    def _of(self, kind: str, schema: Json) -> Type:
        match kind:
            case "array":
                return frozenset({Array(self._type(schema.get("items", {})))})
            case "object" if "properties" in schema:
                raise UnreadableError(f"openapi.yaml: an object without a name: {', '.join(schema['properties'])}")
            case "object":
                more = schema.get("additionalProperties", True)
                return frozenset({Map(ANY if isinstance(more, bool) else self._type(more))})
            case "string" if schema.get("format") == "date-time":
                return frozenset({"date-time"})
            case _:
                return frozenset({kind})


def content_schema(schema: Any, place: str) -> Json:
    """Find the schema of the data of a server-sent event, wherever it is in the schema of the event."""
    parts: list[Any] = [schema]
    for each in parts:
        if isinstance(each, dict):
            if "contentSchema" in each:
                return dict(each["contentSchema"])
            parts += each.values()
        elif isinstance(each, list):
            parts += each
    raise UnreadableError(f"openapi.yaml: the stream of {place} has no contentSchema")


# --- The SDK ------------------------------------------------------------------------------------------------------

PLAIN = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null", "Any": "any",
    "object": "any", "datetime": "date-time", "date": "date", "UUID": "string", "Decimal": "number",
}  # fmt: skip
LISTS = {"List", "Sequence", "Set", "Iterable", "list", "set"}
DICTS = {"Dict", "Mapping", "dict"}
RESPONSES = {"HttpResponse", "Iterator"}
NOT_PARAMETERS = {"content-type", "accept"}
KNOWN = {"method", "params", "headers", "json", "request_options", "omit"}  # what a request of the SDK is made with


@dataclass(frozen=True)
class Module:
    """A module of the SDK, as syntax."""

    path: Path
    tree: ast.Module

    @functools.cached_property
    def definitions(self) -> dict[str, ast.ClassDef | ast.expr]:
        """The classes and names that it defines, by name."""
        found: dict[str, ast.ClassDef | ast.expr] = {}
        for each in self.tree.body:
            match each:
                case ast.ClassDef(name):
                    found[name] = each
                case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), value=ast.expr() as value):
                    found[name] = value
        return found

    @functools.cached_property
    def imports(self) -> dict[str, tuple[int, str, str]]:
        """Relative imports, wherever they stand: level, module, name."""
        return {
            alias.asname or alias.name: (each.level, each.module or "", alias.name)
            for each in ast.walk(self.tree)
            if isinstance(each, ast.ImportFrom) and each.level
            for alias in each.names
        }


class Sdk:
    """Reads the SDK that is in a folder.

    Args:
        folder: The package, `scoutos`.
        names: The names that classes have in the spec, when they differ.
        prefixes: The beginnings of the paths that the spec has.
    """

    def __init__(self, folder: Path, names: Mapping[str, str], prefixes: Iterable[str]) -> None:
        self.folder = folder
        self.names = names
        self.prefixes = tuple(prefixes)
        self.objects: dict[str, Fields] = {}  # by the name of the class
        self._modules: dict[str, Path] = {}
        self._module = functools.cache(self._read_module)

    def _read_module(self, path: Path) -> Module:
        try:
            return Module(path, ast.parse(path.read_text("utf-8")))
        except (OSError, SyntaxError, ValueError) as problem:
            raise UnreadableError(f"{path}: {problem}") from None

    def fail(self, module: Module, node: ast.AST, message: str) -> UnreadableError:
        """Return an error with the place of a node."""
        line = getattr(node, "lineno", "?")
        return UnreadableError(f"{module.path.relative_to(self.folder.parent)}:{line}: {message}")

    def read(self) -> Api:
        """Return the operations of the spec's areas and their objects.

        An area is a package with an operation under one of the prefixes; all of its operations count.
        """
        operations: dict[str, Operation] = {}
        areas: set[str] = set()
        for path in sorted(self.folder.rglob("raw_client.py")):
            if re.search(rf'"/?({"|".join(map(re.escape, self.prefixes))})["/]', path.read_text("utf-8")):
                for each in self._operations(self._module(path)):
                    known = operations.get(each.place)
                    operations[each.place] = each if known is None else _merged(known, each)
            else:
                areas.add(path.parent.relative_to(self.folder).as_posix())
        if not operations:
            raise UnreadableError(f"{self.folder}: no package has an operation under {' or '.join(self.prefixes)}")
        objects: dict[str, list[Fields]] = {}
        for name, fields in self.objects.items():
            objects.setdefault(self.names.get(name, name), []).append(fields)
        return Api(operations, objects, areas)

    def _operations(self, module: Module) -> Iterator[Operation]:
        for each in module.tree.body:
            # The asynchronous class beside it has the same functions.
            if isinstance(each, ast.ClassDef) and each.name.startswith("Raw"):
                for function in each.body:
                    if isinstance(function, ast.FunctionDef) and not function.name.startswith("_"):
                        yield self._operation(module, function)

    def _operation(self, module: Module, function: ast.FunctionDef) -> Operation:
        calls = [
            each
            for each in ast.walk(function)
            if isinstance(each, ast.Call)
            and ast.unparse(each.func).endswith((".httpx_client.request", ".httpx_client.stream"))
        ]
        if len(calls) != 1:
            raise self.fail(module, function, f"{function.name} sends {len(calls)} requests, and not one")
        keywords = {each.arg: each.value for each in calls[0].keywords}
        method = keywords.get("method")
        if not isinstance(method, ast.Constant) or not calls[0].args:
            raise self.fail(module, calls[0], "a request without a path or a method")
        read = Operation(str(method.value), _path(calls[0].args[0]))
        arguments = _arguments(function)
        for name in re.findall(r"\{(\w+)\}", read.path):
            read.parameters[f"path {name}"] = self._argument(module, ast.Name(name), arguments)
        for kind, keyword in (("query", "params"), ("header", "headers")):
            for name, value in self._members(module, keywords.get(keyword)).items():
                if name.lower() not in NOT_PARAMETERS:
                    read.parameters[f"{kind} {name}"] = self._argument(module, value, arguments)
        read.body = self._body(module, keywords.get("json"), arguments)
        read.answers = self._answers(module, function)
        if unknown := [name or "**" for name in keywords if name not in KNOWN]:  # a form, files, another host
            raise self.fail(module, calls[0], f"a request with {', '.join(unknown)}")
        return read

    def _members(self, module: Module, node: ast.expr | None) -> dict[str, ast.expr]:
        if node is None:
            return {}
        if not isinstance(node, ast.Dict):
            raise self.fail(module, node, f"not a dictionary: {ast.unparse(node)}")
        members: dict[str, ast.expr] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if not isinstance(key, ast.Constant):
                raise self.fail(module, value, f"a name that is not a text in {ast.unparse(node)}")
            members[str(key.value)] = value
        return members

    def _argument(self, module: Module, node: ast.expr, arguments: dict[str, tuple[ast.expr, bool]]) -> Field:
        """Return the type of what is sent: a constant, or the one argument of the function that is in it."""
        if isinstance(node, ast.Constant):
            return Field(frozenset({Value(json.dumps(node.value))}), required=True)
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & set(arguments)
        if len(used) != 1:
            raise self.fail(module, node, f"not one argument of the function: {ast.unparse(node)}")
        annotation, required = arguments[used.pop()]
        return Field(self.type_of(module, annotation), required)

    def _body(self, module: Module, node: ast.expr | None, arguments: dict[str, tuple[ast.expr, bool]]) -> Fields:
        if node is None or isinstance(node, ast.Dict):
            return {name: self._argument(module, each, arguments) for name, each in self._members(module, node).items()}
        # The whole body is one argument, an object.
        self._argument(module, node, arguments)
        used = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & set(arguments)
        words = {each.id for each in ast.walk(arguments[used.pop()][0]) if isinstance(each, ast.Name)}
        found = [self.objects[name] for name in words if name in self.objects]
        if len(found) != 1:
            raise self.fail(module, node, f"a body that is not one object: {ast.unparse(node)}")
        return found[0]

    def _answers(self, module: Module, function: ast.FunctionDef) -> dict[str, Type]:
        answer, depth = function.returns, 0
        while isinstance(answer, ast.Subscript) and _last(answer.value) in RESPONSES:
            depth += _last(answer.value) == "Iterator"
            answer = answer.slice
        if answer is None or depth not in (0, 2):
            raise self.fail(module, function, f"{function.name} has an unknown type of answer")
        answers = {f"{'stream' if depth else 'answer'} 200": self.type_of(module, answer)}
        for each in ast.walk(function):
            match each:
                case ast.If(
                    ast.Compare(ast.Attribute(attr="status_code"), [ast.Eq()], [ast.Constant(int() as status)])
                ):
                    calls = [call for call in ast.walk(each) if isinstance(call, ast.Call)]
                    bodies = [call.args[0] for call in calls if _last(call.func) == "cast"]
                    answers[f"answer {status}"] = self.type_of(module, bodies[0]) if bodies else ANY
        return answers

    def type_of(self, module: Module, node: ast.expr) -> Type:
        """Return the type that an annotation names."""
        match node:
            case ast.Constant(None):
                return NULL
            case ast.Constant(str() as text):
                return self.type_of(module, ast.parse(text, mode="eval").body)
            case ast.BinOp(left, ast.BitOr(), right):
                return union([self.type_of(module, left), self.type_of(module, right)])
            case ast.Subscript(value, inner):
                return self._generic(
                    module, node, _last(value), inner.elts if isinstance(inner, ast.Tuple) else [inner]
                )
            case ast.Name(name):
                found = self._find(module, name)
                if found is not None:
                    return self._defined(*found)
        plain = PLAIN.get(_last(node))
        if plain is None:
            raise self.fail(module, node, f"an unknown type: {ast.unparse(node)}")
        return frozenset({plain})

    def _generic(self, module: Module, node: ast.expr, name: str, inner: list[ast.expr]) -> Type:
        if name == "Literal":
            return frozenset(Value(json.dumps(ast.literal_eval(each))) for each in inner)
        if name == "Annotated":
            return self.type_of(module, inner[0])
        types = [
            self.type_of(module, each) for each in inner if not isinstance(each, ast.Constant) or each.value is not ...
        ]
        if name == "Optional":
            return union([*types, NULL])
        if name == "Union":
            return union(types)
        if name in LISTS:
            return frozenset({Array(types[0])})
        if name in DICTS:
            return frozenset({Map(types[1])})
        raise self.fail(module, node, f"an unknown type: {ast.unparse(node)}")

    def _find(self, module: Module, name: str) -> tuple[Module, ast.ClassDef | ast.expr] | None:
        """Find what a name of a module stands for, in this or another module of the SDK."""
        if name in module.definitions:
            return module, module.definitions[name]
        if name not in module.imports:
            return None
        level, target, original = module.imports[name]
        base = module.path.parents[level - 1].joinpath(*target.split(".") if target else [])
        other = self._module(base / "__init__.py" if base.is_dir() else base.with_suffix(".py"))
        return self._find(other, original)

    def _defined(self, module: Module, definition: ast.ClassDef | ast.expr) -> Type:
        if isinstance(definition, ast.expr):
            return self.type_of(module, definition)
        if any(_last(each) in ("Enum", "StrEnum") for each in definition.bases):
            values = [each.value for each in definition.body if isinstance(each, ast.Assign)]
            return frozenset(Value(json.dumps(ast.literal_eval(each))) for each in values)
        if self._modules.setdefault(definition.name, module.path) != module.path:
            raise self.fail(module, definition, f"a second class with the name {definition.name}")
        if definition.name not in self.objects:
            self.objects[definition.name] = {}  # a class may have itself as a field
            self.objects[definition.name] = self._fields(module, definition)
        return frozenset({Named(self.names.get(definition.name, definition.name))})

    def _fields(self, module: Module, definition: ast.ClassDef) -> Fields:
        fields: Fields = {}
        for base in definition.bases:
            found = self._find(module, base.id) if isinstance(base, ast.Name) else None
            if found and isinstance(found[1], ast.ClassDef) and not found[0].path.is_relative_to(self.folder / "core"):
                fields |= self._fields(found[0], found[1])
        for each in definition.body:
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                if "ClassVar" in ast.unparse(each.annotation):
                    continue
                type_ = self.type_of(module, each.annotation)
                # A field with one possible value has it as its default, and is sent nevertheless.
                is_constant = len(type_) == 1 and all(isinstance(one, Value) for one in type_)
                fields[_alias(each) or each.target.id] = Field(type_, is_constant or not _has_default(each.value))
        return fields


def _last(node: ast.expr) -> str:
    """Return the last part of a name: `Optional` of `typing.Optional`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _path(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [
        str(each.value)
        if isinstance(each, ast.Constant)
        else f"{{{[name.id for name in ast.walk(each) if isinstance(name, ast.Name)][-1]}}}"
        for each in parts
    ]
    return "/" + "".join(texts).lstrip("/")


def _arguments(function: ast.FunctionDef) -> dict[str, tuple[ast.expr, bool]]:
    """Return the annotation of each argument, and whether it has no default."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(plain) - len(arguments.defaults)) + arguments.defaults
    pairs = [*zip(plain, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {each.arg: (each.annotation, default is None) for each, default in pairs if each.annotation is not None}


def _alias(node: ast.AnnAssign) -> str | None:
    """Return the name on the wire of a field: `alias=` of FieldMetadata or of pydantic's Field."""
    for part in (node.annotation, node.value):
        for each in ast.walk(part) if part is not None else ():
            if isinstance(each, ast.keyword) and each.arg == "alias" and isinstance(each.value, ast.Constant):
                return str(each.value.value)
    return None


def _has_default(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call) and _last(value.func) == "Field":
        given = [*value.args, *(each.value for each in value.keywords if each.arg in ("default", "default_factory"))]
        return bool(given) and not (isinstance(given[0], ast.Constant) and given[0].value is ...)
    return value is not None


def _merged(one: Operation, other: Operation) -> Operation:
    """Join two functions of the SDK that send the same request in two forms."""

    def joined(mine: Fields, theirs: Fields) -> Fields:
        both = {name: [each[name] for each in (mine, theirs) if name in each] for name in [*mine, *theirs]}
        return {
            name: Field(union(each.type for each in fields), len(fields) == 2 and all(each.required for each in fields))
            for name, fields in both.items()
        }

    answers = {
        name: union(each.answers[name] for each in (one, other) if name in each.answers)
        for name in [*one.answers, *other.answers]
    }
    return Operation(
        one.method, one.path, joined(one.parameters, other.parameters), joined(one.body, other.body), answers
    )

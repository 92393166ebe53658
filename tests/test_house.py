"""The shape of the house: which room may use which, what an import costs, and the private doors of others we use."""

import ast
import functools
import importlib
import inspect
import json
import modulefinder
import re
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from scout_generated.api.workflows import execute_workflow_config
from scout_generated.models.execute_workflow_config_request import ExecuteWorkflowConfigRequest

import scout
import scout.local
from scout import AsyncScout, Environment, Scout
from scout._requests import execute_request
from scout.workflow_files import LoadedWorkflow, load_workflow

HOUSE = Path(scout.__file__).parent

# From the ground up, as in CONTRIBUTING.md: a room imports only from rooms above it in this list.
FLOORS = [
    "environments",
    "errors",
    "_json",
    "_sse",
    "_files",
    "_documents",
    "_sources",
    "_layout",
    "_order",
    "_pictures",
    "graph",
    "timeline",
    "results",
    "workflow_files",
    "_run_logs",
    "differences",
    "formatting",
    "_config",
    "_options",
    "_retry",
    "_requests",
    "_answers",
    "events",
    "_observers",
    "_call",
    "_network",
    "_pool",
    "_codings",
    "_transports",
    "_http",
    "streaming",
    "_plans",
    "_keys",
    "_deployments",
    "runs",
    "workflows",
    "batch",
    "client",
    "cassettes",
    "otel",
    "checks",
]
OUTBUILDINGS = ["cli", "local"]  # these use the house through its front door, if at all

# Which of them import the HTTP library.
HTTPX = {"_call", "_codings", "_transports", "_pool", "_http", "cassettes"}
HTTPCORE = {"_network", "_pool"}


# --- Which room uses which ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One imported name: `room` is where it stands, `module` and `name` what it asks for."""

    room: str
    module: str
    name: str | None
    for_types: bool
    in_function: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def target(self) -> str | None:
        """The room of this house that is used; `None` when it is none."""
        parts = self.module.split(".")
        if parts[0] != "scout":
            return None
        if len(parts) > 1:
            return parts[1]
        return self.name if self.name in ROOMS else "__init__"


class Finder(ast.NodeVisitor):
    """Collects the imports of a file, relative ones resolved, `importlib.import_module("...")` included."""

    def __init__(self, file: Path) -> None:
        parts = file.relative_to(HOUSE).with_suffix("").parts
        self.room = parts[0]
        self.package = [HOUSE.name, *parts[:-1]]
        self.found: list[Import] = []
        self.for_types = 0
        self.in_function = 0

    def add(self, module: str, name: str | None) -> None:
        self.found.append(Import(self.room, module, name, bool(self.for_types), bool(self.in_function)))

    def visit_If(self, node: ast.If) -> None:
        guards = ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        self.for_types += guards
        for each in node.body:
            self.visit(each)
        self.for_types -= guards
        for each in node.orelse:
            self.visit(each)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.in_function += 1
        self.generic_visit(node)
        self.in_function -= 1

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Import(self, node: ast.Import) -> None:
        for each in node.names:
            self.add(each.name, None)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self.package[: len(self.package) - node.level + 1] if node.level else []
        module = ".".join([*base, *([node.module] if node.module else [])])
        for each in node.names:
            self.add(module, each.name)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        if called in ("importlib.import_module", "import_module", "__import__") and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.add(first.value, None)
        self.generic_visit(node)


def files() -> Iterator[Path]:
    return (path for path in sorted(HOUSE.rglob("*.py")) if "__pycache__" not in path.parts)


def imports_of(file: Path) -> list[Import]:
    finder = Finder(file)
    finder.visit(ast.parse(file.read_text(encoding="utf-8")))
    return finder.found


ROOMS = {file.relative_to(HOUSE).parts[0].removesuffix(".py") for file in files()}


@functools.cache
def imports() -> list[Import]:
    return [each for file in files() for each in imports_of(file)]


def imports_of_the_core() -> list[Import]:
    return [each for each in imports() if each.room not in OUTBUILDINGS]


def test_every_room_is_on_the_plan() -> None:
    assert ROOMS - {"__init__", "__main__", *FLOORS, *OUTBUILDINGS} == set()
    assert {"errors", "_json", "results", "_requests", "_answers", "_http", "client", "cli", "local"} <= ROOMS


def test_the_plan_in_contributing_is_this_one() -> None:
    contributing = Path(__file__).parent.parent / "CONTRIBUTING.md"
    table = contributing.read_text(encoding="utf-8").partition("| file | its job |")[2].partition("\n\n")[0]

    assert re.findall(r"^\| `(\w+)(?:\.py|/)` \|", table, re.MULTILINE) == [
        *(room for room in FLOORS if room in ROOMS),
        *OUTBUILDINGS,
    ]


def test_only_requests_and_events_know_the_generated_package() -> None:
    """Answers are read by hand, into classes of ours."""
    assert {each.room for each in imports() if each.top in ("scout_generated", "generated")} == {"_requests", "events"}


def test_few_rooms_of_the_core_know_the_http_library() -> None:
    assert {each.room for each in imports_of_the_core() if each.top == "httpx"} == HTTPX
    assert {each.room for each in imports_of_the_core() if each.top == "httpcore"} == HTTPCORE


def private_names_of_others(source: str) -> set[str]:
    """The private names that a file takes from another package, or from another module of ours by attribute."""
    found: set[str] = set()
    others: set[str] = set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            others |= {each.asname or each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] != "scout":
            others |= {each.asname or each.name for each in node.names}
            found |= {each.name for each in node.names if is_private(each.name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            top: ast.expr = node.value
            while isinstance(top, ast.Attribute | ast.Call):
                top = top.value if isinstance(top, ast.Attribute) else top.func
            if isinstance(top, ast.Name) and top.id in others:
                found.add(node.attr)
    return found


def is_private(name: str) -> bool:
    # `os._exit` is no private name: it is documented.
    return name.startswith("_") and not name.startswith("__") and name != "_exit"


@pytest.mark.parametrize("file", list(files()), ids=lambda file: str(file.relative_to(HOUSE)))
def test_no_private_name_of_another_package_is_used(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert private_names_of_others(source) == set()
    assert "reportPrivateUsage" not in source  # pyright finds those of objects, unless it is told not to


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import argparse\nx: argparse._ActionsContainer", {"_ActionsContainer"}),
        ("from httpx import _client", {"_client"}),
        ("from httpx import Client\nClient()._transport._pool", {"_transport", "_pool"}),
        ("import httpx as h\nh.Client()._mounts", {"_mounts"}),
        ("from ._json import redact\nself._key = redact._x", set()),
        ("import json\njson.__name__", set()),
    ],
)
def test_the_inspector_sees_private_names(source: str, expected: set[str]) -> None:
    assert private_names_of_others(source) == expected


def test_a_room_uses_only_the_rooms_above_it() -> None:
    floor = {room: number for number, room in enumerate(FLOORS)}
    against = {
        (each.room, each.target, each.for_types, each.in_function)
        for each in imports_of_the_core()
        if each.room in floor
        and each.target not in (None, "__init__", each.room)
        and floor.get(each.target or "", len(FLOORS)) >= floor[each.room]
    }

    assert against == {
        ("client", "local", False, True),  # `Scout.local()`: optional, and loaded when it is called
        ("_answers", "streaming", False, True),  # an answer that is a stream although none was asked for
    }


def test_the_way_in_to_the_local_scout_is_one_function() -> None:
    tree = ast.parse((HOUSE / "client.py").read_text(encoding="utf-8"))
    ways = [
        function.name
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module == "local"
    ]

    assert ways == ["local"]


def test_from_the_package_itself_the_core_takes_the_version_and_nothing_else() -> None:
    taken = {each.name for each in imports_of_the_core() if each.target == "__init__" and each.room in FLOORS}

    assert taken == {"__version__", None}  # None: `import scout`, of which the next test speaks


@pytest.mark.parametrize("file", list(files()), ids=lambda file: str(file.relative_to(HOUSE)))
def test_the_package_itself_is_used_in_annotations_only(file: Path) -> None:
    """`scout.Run` as a type is found when somebody asks for the type; as a value it would import a room below."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {each.name for node in ast.walk(tree) if isinstance(node, ast.Import) for each in node.names}
    if "scout" not in imported:
        return
    annotations = [
        annotation
        for node in ast.walk(tree)
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if annotation is not None
    ]
    in_annotations = {id(name) for each in annotations for name in ast.walk(each)}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "scout"]

    assert names
    assert [node.lineno for node in names if id(node) not in in_annotations] == []


PICTURES_AND_FILES = {"scout._pictures", "scout.cassettes", "scout.graph", "scout.results", "scout.timeline"}


def test_only_the_page_of_the_local_scout_draws() -> None:
    page = HOUSE / "local" / "page"
    elsewhere = [file for file in (HOUSE / "local").rglob("*.py") if page not in file.parents]

    used = {each.target for file in elsewhere for each in imports_of(file) if each.module in PICTURES_AND_FILES}
    assert used == {"cassettes"}  # `record` and `replay`, as above


def test_the_local_scout_knows_nothing_of_the_client() -> None:
    """It shares with the client how JSON and files are written, and nothing that reads the API."""
    used = {
        (each.module, each.name) for each in imports() if each.room == "local" and each.target not in (None, "local")
    }

    # `scout.local` hands on `record` and `replay`, which had their place there.
    used -= {
        ("scout", "cassettes"),
        *(("scout.cassettes", name) for name in ("Recorder", "Replayer", "record", "replay")),
    }
    shared = {"scout._config", "scout._documents", "scout._json", "scout.errors"}
    assert {module for module, _ in used} <= {*shared, *PICTURES_AND_FILES}
    assert {name for module, name in used if module == "scout._config"} == {"is_loopback"}


def test_the_command_comes_in_by_the_front_door() -> None:
    used = [each for each in imports() if each.room == "cli" and each.target not in (None, "cli")]
    back = [
        *(("scout._json", name) for name in ("parse_json", "write_json")),  # JSON is read and printed as by the client
        ("scout._json", "redact"),  # of the key in errors as JSON
        *(("scout._documents", name) for name in ("parse_json_text", "parse_yaml")),  # files of inputs, as workflows
        ("scout._pictures", "display_width"),  # text is measured as in pictures
        ("scout._layout", "write_yaml"),  # YAML is written as by `scout fmt`
        ("scout._files", "write_whole"),  # files are written as by `save_workflow`
        ("scout.workflow_files", "load_text"),  # a workflow on stdin, which has no path
        ("scout.checks", "input_names"),  # for a warning before a run
        ("scout.batch", "read_rows"),  # rows on stdin, which have no path, by the rules of files
        ("scout._deployments", "newest_of"),  # beside a draft, by the rule of `deploy`
        ("scout.workflow_files", "kind_of"),  # values are named as in other messages
    ]
    used = [each for each in used if (each.module, each.name) not in back]
    doors = {each.module for each in used}

    assert doors <= {"scout", "scout.local"}
    assert {each.name for each in used if each.module == "scout"} <= set(scout.__all__)
    assert {each.name for each in used if each.module == "scout.local"} <= set(
        importlib.import_module("scout.local").__all__
    )


def test_nothing_uses_the_command_but_its_starter() -> None:
    assert {each.room for each in imports() if each.target == "cli"} == {"__main__", "cli"}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import scout_generated.models", ("scout_generated.models", None, False, False)),
        ("from . import errors", ("scout", "errors", False, False)),
        ("from .errors import ScoutError", ("scout.errors", "ScoutError", False, False)),
        ("if TYPE_CHECKING:\n    from .results import Run", ("scout.results", "Run", True, False)),
        ("def f():\n    import httpx", ("httpx", None, False, True)),
        ("x = importlib.import_module('httpx')", ("httpx", None, False, False)),
    ],
)
def test_the_inspector_sees_every_kind_of_import(source: str, expected: tuple[Any, ...]) -> None:
    finder = Finder(HOUSE / "client.py")
    finder.visit(ast.parse(source))

    assert [(e.module, e.name, e.for_types, e.in_function) for e in finder.found] == [expected]


# --- What an import costs, and gives ------------------------------------------------------------------------------

HEAVY = [
    *("httpx", "httpcore", "argparse", "starlette", "uvicorn", "jinja2", "jsonschema", "attrs", "attr"),
    *("ruamel", "ruamel.yaml", "dateutil", "asyncio", "opentelemetry", "scout_generated", "scout.cli", "scout.local"),
    *("scout.client", "scout._http", "scout._requests", "scout._answers"),
]


def modules_after(code: str) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(found.stdout.split())


@pytest.mark.parametrize(
    "code", ["import scout", "from scout import ScoutError, Environment, Run", "import scout; dir(scout)"]
)
@pytest.mark.packaging  # lazy imports
def test_importing_scout_loads_nothing_heavy(code: str) -> None:
    assert modules_after(code) & set(HEAVY) == set()


def test_the_names_of_heavy_modules_are_right() -> None:
    loaded = modules_after("import scout, scout.cli, argparse, scout.local.app, scout.local.http_server; scout.Scout; "
        "import scout.otel, dateutil.parser, ruamel.yaml, attrs, scout_generated.models")  # fmt: skip

    assert set(HEAVY) <= loaded


def test_a_run_loads_nothing_that_only_others_need() -> None:
    loaded = modules_after("""
from scout import Scout, ScoutError
try:
    with Scout("key", base_url="http://127.0.0.1:1", retries=0) as client:
        client.execute({"blocks": []})
except ScoutError as error:
    assert len(error.attempts) == 1
""")

    assert "scout_generated.operations.execute_workflow_config" in loaded
    # Not `rich` and `argparse`: httpx loads the first for its own command where it is installed.
    others = {"ruamel.yaml", "dateutil", "jsonschema", "starlette", "opentelemetry", "scout.cli", "scout.local"}
    others |= {
        f"scout.{room}" for room in ("_run_logs", "_observers", "_plans", "events", "runs", "streaming", "workflows")
    }
    assert loaded & others == set()


def test_a_freezer_finds_every_module_of_a_program() -> None:
    """Tools such as PyInstaller read the imports in the bytecode, and cannot see `import_module` of a computed name."""
    heavy = [*sys.stdlib_module_names, "httpx", "httpcore", "dateutil", "ruamel", "rich", "starlette", "uvicorn"]
    heavy += ["jinja2", "attrs", "attr", "jsonschema", "anyio", "dotenv", "pytest", "idna"]
    finder = modulefinder.ModuleFinder(excludes=heavy)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "app.py"
        program.write_text("from scout import Scout\nprint(list(Scout().workflows.list()))\n")
        finder.run_script(str(program))

    generated = Path(str(resources.files("scout_generated")))
    wanted = {f"scout_generated.api.workflows.{file.stem}" for file in generated.glob("api/workflows/[a-z]*.py")}
    wanted |= {f"scout.{room}" for room in ROOMS - {"__init__", "__main__", "cli", "otel"}}  # imported by their users
    assert len(wanted) > 20
    assert wanted - set(finder.modules) == set()


def test_the_public_names_are_sorted_and_unique() -> None:
    assert scout.__all__ == sorted(set(scout.__all__))


@pytest.mark.parametrize("name", scout.__all__)
@pytest.mark.packaging  # every module is there
def test_every_public_name_is_there(name: str) -> None:
    value = getattr(scout, name)

    assert vars(scout)[name] is value
    assert name in dir(scout)


@pytest.mark.parametrize("room", ["errors", "results", "environments"])
def test_every_public_class_of_a_room_is_public(room: str) -> None:
    module = importlib.import_module(f"scout.{room}")
    public = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }

    assert public
    assert public <= set(scout.__all__)
    for name in public:
        assert getattr(scout, name) is getattr(module, name)


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module in (scout, scout.local) for name in module.__all__ if name != "__version__"],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_the_types_of_every_public_callable_can_be_read(module: Any, name: str) -> None:
    """As programs do that build forms, commands or objects from annotations."""
    value = getattr(module, name)
    callables = [value] if callable(value) else []
    if inspect.isclass(value):
        members = [inspect.getattr_static(value, each) for each in dir(value) if not each.startswith("_")]
        members += [vars(each)["__init__"] for each in value.__mro__[:-1] if "__init__" in vars(each)]
        callables += [member for each in members if inspect.isfunction(member := getattr(each, "__func__", each))]

    for each in callables:
        hints = typing.get_type_hints(each)
        assert not any(isinstance(hint, str | typing.ForwardRef) for hint in hints.values())


def test_type_checkers_see_the_same_names() -> None:
    seen = [each.name for each in imports_of(HOUSE / "__init__.py") if each.for_types]

    assert sorted([*(str(name) for name in seen), "__version__"]) == scout.__all__


@pytest.mark.packaging  # lazy imports
def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Skout'"):
        _ = scout.Skout  # type: ignore[attr-defined]
    assert not hasattr(scout, "parse_timestamp")


# --- The two clients ----------------------------------------------------------------------------------------------


def members(client: type) -> dict[str, Any]:
    found = {name: inspect.getattr_static(client, name) for name in dir(client) if not name.startswith("_")}
    found["__init__"] = client.__init__  # type: ignore[misc]
    return found


def parameters(member: Any) -> list[tuple[str, Any, Any, Any]]:
    function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return [(p.name, p.kind, p.default, p.annotation) for p in inspect.signature(function).parameters.values()]


def test_both_clients_have_the_same_members() -> None:
    assert members(AsyncScout).keys() - {"aclose"} == members(Scout).keys()
    assert {"execute", "with_options", "raw", "base_url", "close", "local"} <= members(Scout).keys()


@pytest.mark.parametrize("name", sorted(members(Scout)))
def test_both_clients_take_the_same_parameters(name: str) -> None:
    ours, theirs = members(Scout)[name], members(AsyncScout)[name]

    assert type(ours) is type(theirs)
    assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize("name", ["execute", "close"])
def test_only_the_await_differs(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AsyncScout, name))
    assert not inspect.iscoroutinefunction(getattr(Scout, name))


def test_aclose_is_close() -> None:
    assert AsyncScout.aclose is AsyncScout.close


# --- The generated function that makes the request ----------------------------------------------------------------

CONFIG: dict[str, Any] = {
    "workflow_display_name": "Größe",
    "workflow_schema_version": "1.0",
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "block_config": [],
            "dependencies": [],
        }
    ],
}


def body_validator() -> Any:
    spec = json.loads(resources.files("scout_generated").joinpath("openapi.json").read_text(encoding="utf-8"))
    schema = spec["paths"]["/v2/workflows/execute"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": spec["components"]})


@pytest.mark.parametrize("inputs", [None, {}, {"user_message": "Hi", "n": 10**30}], ids=["none", "empty", "some"])
@pytest.mark.parametrize("key", [None, "my_key"])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"environment": Environment.STAGING},
        {"revision_id": "rev_1", "session_id": "a b/ü"},
        {"environment": Environment.CONSOLE, "revision_id": "r", "session_id": "s"},
    ],
)
def test_our_request_is_the_generated_one(query: dict[str, Any], key: str | None, inputs: Any) -> None:
    members = {"workflow_config": CONFIG, "workflow_key": key, "inputs": inputs, "streaming": False}
    body = {name: value for name, value in members.items() if value is not None}
    generated = execute_workflow_config.get_kwargs(
        body=ExecuteWorkflowConfigRequest.from_dict(body),
        **{name: str(value) for name, value in query.items()},  # type: ignore[arg-type]
    )

    request = execute_request(LoadedWorkflow(CONFIG, key), inputs, **query)

    assert (
        (request.method, request.path) == (generated["method"], generated["url"]) == ("post", "/v2/workflows/execute")
    )
    assert dict(request.query) == generated["params"] == {name: str(value) for name, value in query.items()}
    assert json.loads(request.body) == generated["json"]
    assert generated["headers"] == {"Content-Type": "application/json"}
    assert list(body_validator().iter_errors(json.loads(request.body))) == []


def test_the_validator_of_the_body_says_no_as_well() -> None:
    wrong = [{}, {"workflow_config": 5}, {"workflow_config": {"blocks": [{"block_id": 5}]}}, {"inputs": []}]

    assert [body_validator().is_valid(body) for body in wrong] == [False] * 4


@pytest.mark.parametrize("folder", ["hello", "classify", "summary"])
def test_requests_for_the_examples_are_as_the_spec_says(folder: str) -> None:
    loaded = load_workflow(Path(__file__).parent.parent / "examples" / folder / "workflow.yml")

    body = json.loads(execute_request(loaded, {"user_message": "Hi"}).body)

    assert [error.message for error in body_validator().iter_errors(body)] == []
    assert body["workflow_config"] == loaded.config

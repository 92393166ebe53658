"""Everything in `openapi.yaml` has its place in the code, and a message names the file to open when it has not.

An operation has a function in `scout/_requests.py` that a client calls, a route of the local Scout, and a command that
sends it. Where enumerations of the spec are written out in the code, they are the same there.
"""

import ast
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import run_here
from servers import Server, json_answer
from starlette.applications import Starlette

import scout
from scout import Environment, RunStatus, Scout, UnknownEvent
from scout._sse import ServerSentEvent
from scout.events import Accumulator, Event, decode
from scout.local import LocalScout, run_logs

Json = dict[str, Any]

HOUSE = Path(scout.__file__).parent
SPEC: Json = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))

CONFIG: Json = {
    "workflow_display_name": "Question",
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "block_inputs": {"items": [{"key": "word"}]},
        },
        {
            "block_id": "answer",
            "block_archetype_id": "com.scoutos.llm",
            "block_display_name": "Answer",
            "block_inputs": {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "Say {{inputs.word}}"}]},
            "dependencies": [{"block_id": "inputs"}],
            "is_output": True,
        },
    ],
}

COMMAND_LINES = {
    "execute_workflow_config": "run {file} --input word=Hi",
    "execute_workflow": "workflows run {workflow} --input word=Hi",
    "list_workflows": "workflows list",
    "get_workflow": "workflows get {workflow}",
    "create_workflow": "workflows deploy {file} --key another",
    "create_workflow_revision": "workflows deploy {file} --key question",
    "list_run_logs": "runs list {workflow}",
    "get_run_log": "runs show {workflow} {run}",
    "list_workflow_revisions": "workflows revisions {workflow}",
    "rename_workflow_revision": "workflows rename-revision {workflow} {revision} Autumn",
    "list_workflow_environments": "workflows environments {workflow}",
    "update_workflow_environment": "workflows set-environment {workflow} staging {revision} --yes",
    "promote_workflow_revision": "workflows promote {workflow} {revision} --yes",
    "delete_workflow_revision": "workflows delete-revision {workflow} {first_revision} --yes",
    "delete_workflow": "workflows delete {workflow} --yes",
}
"""For each operation a command line that sends it, in the order in which they are run."""

WITHOUT_COMMAND = {
    "update_workflow": "it saves a draft, which is for people at the console; files are deployed",
}
"""The operations that no command sends, and why."""


# --- Where operations have their places ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Operation:
    name: str
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.name} ({self.method} {self.path})"

    def is_request(self, method: str, path: str) -> bool:
        return method == self.method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", self.path), path) is not None


def operations(spec: Json) -> list[Operation]:
    return [
        Operation(operation["operationId"], method.upper(), path)
        for path, item in spec["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    ]


def request_functions(source: str) -> dict[str, str]:
    """The operations whose generated module a function imports, each with the name of the function."""
    prefix = "scout_generated.operations."
    return {
        each.module.removeprefix(prefix): function.name
        for function in ast.parse(source).body
        if isinstance(function, ast.FunctionDef)
        for each in ast.walk(function)
        if isinstance(each, ast.ImportFrom) and each.module and each.module.startswith(prefix)
    }


def names_in(source: str) -> set[str]:
    """The names that a module uses, as names or after a dot."""
    nodes = list(ast.walk(ast.parse(source)))
    return {each.id for each in nodes if isinstance(each, ast.Name)} | {
        each.attr for each in nodes if isinstance(each, ast.Attribute)
    }


def facade_sends(requests: str, others: Iterable[str]) -> set[str]:
    """The operations that the facade sends: a function makes the request, and another module uses the function."""
    used = {name for each in others for name in names_in(each)}
    return {operation for operation, function in request_functions(requests).items() if function in used}


def sources(*, but: str) -> Iterator[str]:
    for each in sorted(HOUSE.glob("*.py")):
        if each.name != but:
            yield each.read_text("utf-8")


def local_serves(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """The methods and paths of the routes of the local Scout's application."""
    routes: list[Any] = []
    make = Starlette.__init__

    def spy(self: Starlette, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        routes.extend(self.routes)

    monkeypatch.setattr(Starlette, "__init__", spy)
    with LocalScout():
        pass
    return {(method, route.path) for route in routes for method in route.methods}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The command lines, each with the operations that it sent, and what it said when it failed."""
    file = tmp_path_factory.mktemp("files") / "question.json"
    file.write_text(json.dumps({**CONFIG, "workflow_display_name": "Question, new"}))
    result: dict[str, str] = {}
    with LocalScout(workflows={"question": CONFIG}) as local:
        environment = {"SCOUT_API_KEY": "key", "SCOUT_BASE_URL": local.url, "HOME": str(file.parent), "TERM": "dumb"}
        with Scout("key", base_url=local.url) as client:
            first = next(iter(client.workflows.list()))
            second = client.workflows.create_revision({**CONFIG, "workflow_description": "Newer"}, id=first.id)
            run = client.workflows.execute(first.id, {"word": "Hi"})
        known = {
            "file": str(file),
            "workflow": first.id,
            "first_revision": first.revision_id,
            "revision": second.revision_id,
            "run": run.id,
        }
        for line in COMMAND_LINES.values():
            before = len(local.requests)
            words = [each.format_map(known) for each in shlex.split(line)]
            done = run_here(*words, env=environment)
            names = {_operation_of(each.method, each.path) for each in local.requests[before:]}
            problem = done.stderr.strip().splitlines()[-1:] if done.returncode else []
            result[line] = " ".join([*sorted(names), *(f"failed: {each}" for each in problem)])
    return result


def _operation_of(method: str, path: str) -> str:
    found = [each for each in operations(SPEC) if each.is_request(method, path)]
    return min(found, key=lambda each: each.path.count("{")).name if found else f"{method} {path}"


def without_place(
    spec: Json, *, facade: set[str], local: set[tuple[str, str]], command: Mapping[str, str], lines: Mapping[str, str]
) -> Iterator[str]:
    """Give a message for each operation of a spec that has no place somewhere.

    Args:
        spec: The spec.
        facade: The operations that the facade sends.
        local: The methods and paths that the local Scout serves.
        command: What each command line sends.
        lines: A command line for each operation.
    """
    for each in operations(spec):
        if each.name not in facade:
            yield (
                f"{each} is not in the facade: write a function in scout/_requests.py that imports "
                f"scout_generated.operations.{each.name}, and call it in scout/workflows.py, scout/runs.py or "
                "scout/client.py"
            )
        if (each.method, each.path) not in local:
            yield f"{each} is not in the local Scout: add its route to build_app in scout/local/app.py"
        if each.name in WITHOUT_COMMAND:
            continue
        if each.name not in lines:
            yield (
                f"{each} is not in the command: add it to scout/cli/, and a command line that sends it to "
                "COMMAND_LINES in tests/test_spec_places.py"
            )
        elif each.name not in command[lines[each.name]].split():
            line = lines[each.name]
            yield (
                f"{each} is not sent by `scout {line}` (but: {command[line] or 'nothing'}): open "
                f"scout/cli/{line.split()[0]}.py, or correct COMMAND_LINES in tests/test_spec_places.py"
            )


def test_every_operation_has_its_places(sent: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    requests = (HOUSE / "_requests.py").read_text("utf-8")
    missing = list(
        without_place(
            SPEC,
            facade=facade_sends(requests, sources(but="_requests.py")),
            local=local_serves(monkeypatch),
            command=sent,
            lines=COMMAND_LINES,
        )
    )

    assert missing == [], "\n".join(missing)


def test_every_command_line_works(sent: dict[str, str]) -> None:
    assert [f"scout {line}: {said}" for line, said in sent.items() if "failed: " in said] == []


def test_the_tables_hold_what_is_so(sent: dict[str, str]) -> None:
    names = {each.name for each in operations(SPEC)}
    by_command = {*COMMAND_LINES, *(name for said in sent.values() for name in said.split())}

    assert COMMAND_LINES.keys() - names == WITHOUT_COMMAND.keys() - names == set()
    assert by_command & WITHOUT_COMMAND.keys() == set(), "there is a command: take it off the list"


# --- This test itself ---------------------------------------------------------------------------------------------

INVENTED = Operation("archive_workflow", "POST", "/v2/workflows/{workflow_id}/archive")
ONE: Json = {"paths": {INVENTED.path: {"post": {"operationId": INVENTED.name}}}}


def test_an_invented_operation_is_named_with_the_files_to_open() -> None:
    messages = list(without_place(ONE, facade=set(), local=set(), command={}, lines={}))

    assert [message.split(":")[0] for message in messages] == [
        "archive_workflow (POST /v2/workflows/{workflow_id}/archive) is not in the facade",
        "archive_workflow (POST /v2/workflows/{workflow_id}/archive) is not in the local Scout",
        "archive_workflow (POST /v2/workflows/{workflow_id}/archive) is not in the command",
    ]
    assert "write a function in scout/_requests.py that imports scout_generated.operations.archive_wo" in messages[0]
    assert "add its route to build_app in scout/local/app.py" in messages[1]
    assert "add it to scout/cli/, and a command line that sends it to COMMAND_LINES in tests/test_s" in messages[2]


def test_an_operation_with_all_of_its_places_is_not_named() -> None:
    line = "workflows archive {workflow}"
    found = without_place(
        ONE,
        facade={INVENTED.name},
        local={("POST", INVENTED.path)},
        command={line: f"list_workflows {INVENTED.name}"},
        lines={INVENTED.name: line},
    )
    assert list(found) == []


@pytest.mark.parametrize("said", ["list_workflows", "failed: scout: unknown action archive", ""])
def test_a_command_that_does_not_send_the_operation_is_named(said: str) -> None:
    line = "workflows archive {workflow}"
    [message] = without_place(
        ONE,
        facade={INVENTED.name},
        local={("POST", INVENTED.path)},
        command={line: said},
        lines={INVENTED.name: line},
    )
    assert f"is not sent by `scout {line}` (but: {said or 'nothing'}): open scout/cli/workflows.py" in message


def test_a_request_counts_when_a_client_uses_it() -> None:
    source = "def archive_request():\n    from scout_generated.operations.archive_workflow import get_kwargs\n"

    assert facade_sends(source, ["_requests.archive_request(id)"]) == {"archive_workflow"}
    assert facade_sends(source, ["from ._requests import archive_request as a\narchive_request()"]) == {INVENTED.name}
    assert facade_sends(source, ["_requests.list_request()"]) == set()
    assert facade_sends("def archive_request(): pass", ["archive_request()"]) == set()


def test_requests_of_commands_are_told_apart() -> None:
    assert _operation_of("GET", "/v2/workflows/wf_1") == "get_workflow"
    assert _operation_of("POST", "/v2/workflows/execute") == "execute_workflow_config"
    assert _operation_of("POST", "/v2/workflows/wf_1/execute") == "execute_workflow"
    assert _operation_of("GET", "/v2/workflows/wf_1/other") == "GET /v2/workflows/wf_1/other"


# --- Enumerations that are written out in the code ----------------------------------------------------------------


def values(name: str) -> list[str]:
    """The known values of an enumeration of the spec, which may be open."""
    schema = SPEC["components"]["schemas"][name]
    return next(each["enum"] for each in [schema, *schema.get("anyOf", [])] if "enum" in each)


def same(values_of_spec: Iterable[str], ours: Iterable[str], file: str) -> None:
    assert sorted(ours) == sorted(values_of_spec), f"open {file}: it has to have the values of openapi.yaml"


def test_the_environments_are_those_of_the_spec() -> None:
    same(values("ExecutionEnvironment"), Environment, "scout/environments.py")


def test_every_stop_reason_is_a_status() -> None:
    ends = [RunStatus(each) for each in values("StopReason")]
    same(ends, set(RunStatus) - {RunStatus.STARTED}, "scout/results.py")


def frame(name: str, **data: Any) -> ServerSentEvent:
    return ServerSentEvent(data=json.dumps({"name": name, "data": data}).encode(), event=name)


def test_the_classes_of_events_are_those_of_the_spec() -> None:
    names = SPEC["components"]["schemas"]["WorkflowEvent"]["discriminator"]["mapping"]
    classes = {name: type(decode(frame(name, update_data={}))).__name__ for name in names}

    assert classes == {name: reference.rsplit("/", 1)[-1] for name, reference in names.items()}, "open scout/events.py"
    same(classes.values(), {each.__name__ for each in get_args(Event)} - {UnknownEvent.__name__}, "scout/events.py")
    assert set(classes.values()) <= set(dir(scout)), "open scout/__init__.py"


UPDATES: dict[str, str] = {"partial": "one, two", "complete": "two"}


def test_every_kind_of_update_is_understood() -> None:
    same(values("UpdateType"), UPDATES, "scout/events.py, where _block_updated reads an update, and UPDATES here")
    for kind, shown in UPDATES.items():
        built = Accumulator(None)
        for kind_of_piece, text in (("partial", "one, "), (kind, "two")):
            update = {"block_id": "a", "update_type": kind_of_piece, "update_data": {"output": text}}
            piece = frame("block_state_updated", **update)
            built.add(decode(piece), piece.data)
        assert built.output_text("a") == shown


def test_the_local_scout_sends_every_kind_of_event_and_update() -> None:
    fails = {"block_id": "bad", "block_archetype_id": "com.scoutos.text", "block_display_name": "Bad"}
    seen: set[str] = set()
    kinds: set[str] = set()
    with Scout.local() as client:
        for config in (CONFIG, {"blocks": [{**fails, "block_inputs": {"text": "{{ 1 // 0 }}"}}]}):
            with client.stream(config, {"word": "Hi"}, check=False) as stream:
                for each in stream:
                    event = each.to_dict() if not isinstance(each, UnknownEvent) else {"name": f"unknown {each.name}"}
                    seen.add(event["name"])
                    kinds |= {event["data"]["update_type"]} if event["name"] == "block_state_updated" else set()
    names = SPEC["components"]["schemas"]["WorkflowEvent"]["discriminator"]["mapping"]
    same(names, seen, "scout/local/engine.py")
    same(values("UpdateType"), kinds, "scout/local/engine.py")


def test_a_workflow_of_the_local_scout_has_the_environments_of_the_spec() -> None:
    with Scout.local(workflows={"question": CONFIG}) as client:
        names = [each.name for each in client.workflows.environments("key:question")]

    same(values("ExecutionEnvironment"), [*names, Environment.CONSOLE], "scout/local/store.py")


LOOKUPS: dict[str, dict[str, Any]] = {"latest": {"latest": True}, "revision_id": {"revision_id": "rev_1"}}


def test_every_way_to_choose_a_revision_is_read_and_sent() -> None:
    same(values("RevisionLookup"), LOOKUPS, "scout/_answers.py, which reads deployments, and LOOKUPS here")
    for lookup, option in LOOKUPS.items():
        deployment = {"deployment_config": {"revision_lookup": lookup, "revision_id": option.get("revision_id")}}
        staging = {"environment_id": "e", "environment_config": {"name": "staging"}, "deployments": [deployment]}
        with (
            Server(json_answer({"data": [staging], "success": True})) as server,
            Scout("key", base_url=server.url) as client,
        ):
            [read] = client.workflows.environments("wf")
            client.workflows.set_environment("wf", "staging", **option)
        assert (read.follows_latest, read.revision_id) == (lookup == "latest", option.get("revision_id"))
        assert server.requests[-1].json()["deployments"][0]["revision_lookup"] == lookup


def test_the_statuses_in_run_logs_are_those_of_the_spec() -> None:
    named = values("RunLogStatus")

    same(named, run_logs.STATUSES, "scout/local/run_logs.py")
    read: list[RunStatus] = []
    for each in named:
        log = {"workflow_run_id": "run", "workflow_id": "wf", "session_id": "s", "status": each}
        with Server(json_answer(log)) as server, Scout("key", base_url=server.url) as client:
            read.append(client.runs.get("wf", run_id="run").status)
    same(RunStatus, read, "scout/_logs.py")
    with LocalScout(workflows={"question": CONFIG}) as local:
        environment = {"SCOUT_API_KEY": "key", "SCOUT_BASE_URL": local.url, "TERM": "dumb"}
        for each in named:
            done = run_here("runs", "list", "key:question", "--status", each, env=environment)
            assert done.returncode == 0, f"open scout/cli/runs.py: {done.stderr}"

"""scripts/drift: what it finds in a changed copy of the vendor's SDK, and that it finds nothing in the real one."""

import dataclasses
import importlib
import io
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Received, Server, json_answer, route, run_answer

from scout import Scout
from scout.local import LocalScout

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "scripts"


def load(name: str) -> Any:
    sys.path.insert(0, str(SCRIPTS))  # as when Python runs a file there
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


pytest.importorskip("scoutos", reason="a development tool")
drift, live = load("_drift"), load("_drift_live")
SPEC: dict[str, Any] = json.loads(drift.SPEC.read_text("utf-8"))
ACCEPTED: dict[str, Any] = tomllib.loads(drift.ACCEPTED.read_text("utf-8"))


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdk") / "scoutos"
    shutil.copytree(drift.installed(), folder, ignore=shutil.ignore_patterns("__pycache__", "client.py"))
    for each in drift.installed().glob("*/raw_client.py"):
        shutil.copy(each, folder / each.relative_to(drift.installed()))
    return folder


@pytest.fixture
def sdk(copied: Path) -> Iterator["Copy"]:
    copy = Copy(copied)
    yield copy
    copy.restore()


class Copy:
    """A copy of the SDK's modules, of which a test edits some."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kept: dict[Path, str | None] = {}

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        self.kept.setdefault(path, path.read_text("utf-8") if path.exists() else None)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text("utf-8")
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new))

    def restore(self) -> None:
        for path, text in self.kept.items():
            if text is None:
                path.unlink()
            else:
                path.write_text(text, "utf-8")

    def faults(self, *, spec: dict[str, Any] = SPEC, accepted: dict[str, Any] = ACCEPTED) -> list[str]:
        return drift.drift(self.folder, spec, accepted)[0]


def changed(document: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(document))


# --- The real one, and five changes in a copy ---------------------------------------------------------------------


def test_nothing_unknown_differs_from_the_installed_sdk(capsys: pytest.CaptureFixture[str]) -> None:
    code = drift.main([])
    said = capsys.readouterr().out

    assert code == 0, said
    assert said.startswith("drift: scoutos 12.3.0: 16 operations and 64 types compared, ")
    assert said.endswith(", 0 faults\n")


def new_field(sdk: Copy) -> None:
    sdk.edit("types/run_log.py", "    status: str\n", "    status: str\n    trace_id: typing.Optional[str] = None\n")


def removed_query_parameter(sdk: Copy) -> None:
    sdk.edit("workflow_logs/raw_client.py", '                "cursor": cursor,\n', "")


def changed_type(sdk: Copy) -> None:
    sdk.edit("types/block_run.py", "block_inputs: typing.Dict", "block_inputs: typing.List[str] # typing.Dict")


def new_enum_value(sdk: Copy) -> None:
    name = "types/environment_deployment_config_revision_lookup.py"
    sdk.edit(name, 'Literal["latest", "revision_id"]', 'Literal["latest", "revision_id", "tag"]')


def new_operation(sdk: Copy) -> None:
    method = """
    def compare(self, workflow_id: str, *, against: str) -> HttpResponse[SrcHandlersUpdateWorkflowRevisionResponse]:
        _response = self._client_wrapper.httpx_client.request(
            f"v2/workflows/{jsonable_encoder(workflow_id)}/compare", method="GET", params={"against": against}
        )
        return HttpResponse(response=_response, data=_response.json())
"""
    sdk.edit("workflow_revisions/raw_client.py", "\n\nclass AsyncRaw", f"{method}\n\nclass AsyncRaw")


FIVE = [
    (new_field, "RunLog.trace_id: only in the SDK: string, optional"),
    (removed_query_parameter, "GET /v2/run_logs query cursor: only in the spec: string, optional"),
    (changed_type, "RunLogBlock.block_inputs: the SDK says [string], the spec says {any}"),
    (
        new_enum_value,
        (
            'EnvironmentDeploymentConfig.revision_lookup: the SDK says "latest" | "revision_id" | "tag", the spec says '
            '"latest" | "revision_id"'
        ),
    ),
    (new_operation, "GET /v2/workflows/{workflow_id}/compare: only in the SDK: an operation"),
]


@pytest.mark.parametrize(("change", "line"), FIVE, ids=lambda each: getattr(each, "__name__", ""))
def test_a_change_of_the_sdk_is_found(change: Any, line: str, sdk: Copy) -> None:
    change(sdk)

    assert sdk.faults() == [line]


def test_five_changes_are_found_at_once(sdk: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    for change, _ in FIVE:
        change(sdk)

    assert drift.main(["--sdk", str(sdk.folder.parent)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert sorted(said[:-1]) == sorted(line for _, line in FIVE)
    assert said[-1].endswith(", 5 faults")


@pytest.mark.parametrize(
    ("name", "old", "new", "lines"),
    [
        # What is accepted is one difference, and not any at its place.
        (
            "types/run_log.py",
            "cost: float",
            "cost: bool",
            ["RunLog.cost: the SDK says boolean, the spec says number | string (accepted is that the SDK says number)"],
        ),
        (
            "types/position.py",
            "x: int",
            "x: float",
            ["drift.toml accepts what is no longer there: Position.x (type)"],
        ),
        (
            "environments/raw_client.py",
            "        name: str,\n",
            "        name: typing.Optional[str] = OMIT,\n",
            [
                (
                    "PUT /v2/workflows/{workflow_id}/environments/{environment_id} body name: the SDK says optional, "
                    "the spec says required"
                )
            ],
        ),
        (
            "workflows/raw_client.py",
            "        limit: typing.Optional[int] = None,\n",
            "        limit: str,\n",
            [
                "GET /v2/workflows query limit: the SDK says required, the spec says optional",
                "GET /v2/workflows query limit: the SDK says string, the spec says integer",
                "GET /v2/workflows query limit: the SDK says never null, the spec says null is allowed",
            ],
        ),
        (
            "revisions/raw_client.py",
            "self, workflow_id: str, revision_id: str, *,",
            "self, workflow_id: str, revision_id: int, *,",
            [
                f"{method} path revision_id: the SDK says integer, the spec says string"
                for method in (
                    "DELETE /v2/workflows/{workflow_id}/revisions/{revision_id}",
                    "PUT /v2/workflows/{workflow_id}/revisions/{revision_id}/promote",
                )
            ],
        ),
        (
            "workflows/raw_client.py",
            '"v2/workflows/execute"',
            '"v2/workflows/run"',
            [
                "POST /v2/workflows/execute: only in the spec: an operation",
                "POST /v2/workflows/run: only in the SDK: an operation",
                "drift.toml accepts what is no longer there: POST /v2/workflows/execute stream 200 (only-spec)",
            ],
        ),
        (
            "workflow_logs/types/workflow_logs_list_logs_response.py",
            "Union[RunLog, RunLogPagination]",
            "Union[RunLog, RunLogPagination, str]",
            [
                (
                    "GET /v2/run_logs stream 200: the SDK says RunLog | RunLogPageEnd | string, "
                    "the spec says RunLog | RunLogPageEnd"
                )
            ],
        ),
        (
            "types/workflow_note_input.py",
            'alias="bgColor"',
            'alias="bg_color"',
            [
                "WorkflowNote.bg_color: only in the SDK: string, required",
                "WorkflowNote.bgColor: only in the spec: string, required",
            ],
        ),
        (
            "types/environment_deployment_config.py",
            "revision_lookup: EnvironmentDeploymentConfigRevisionLookup",
            "revision_lookup: typing.Optional[EnvironmentDeploymentConfigRevisionLookup] = None  #",
            ["EnvironmentDeploymentConfig.revision_lookup: the SDK says optional, the spec says required"],
        ),
        (
            "environments/raw_client.py",
            "_response.status_code == 422",
            "_response.status_code == 423",
            [
                f"{operation} answer {status}: only in the {side}: HTTPValidationError, required"
                for operation in (
                    "GET /v2/workflows/{workflow_id}/environments",
                    "PUT /v2/workflows/{workflow_id}/environments/{environment_id}",
                )
                for status, side in ((423, "SDK"), (422, "spec"))
            ],
        ),
        (
            "workflow_revisions/raw_client.py",
            "            _response_json = _response.json()\n",
            "            if _response.status_code == 402: pass\n            _response_json = _response.json()\n",
            ["PUT /v2/workflows/{workflow_id}/revisions/{revision_id} answer 402: only in the SDK: any, required"],
        ),
        *(
            (
                "workflow_revisions/raw_client.py",
                "{jsonable_encoder(workflow_id)}/revisions/{jsonable_encoder(revision_id)}",
                f"{{jsonable_encoder({one})}}/revisions/{{jsonable_encoder({other})}}",
                [
                    f"PUT /v2/workflows/{{{one}}}/revisions/{{{other}}}: only in the SDK: an operation",
                    "PUT /v2/workflows/{workflow_id}/revisions/{revision_id}: only in the spec: an operation",
                ],
            )
            for one, other in (("revision_id", "workflow_id"), ("name", "revision_id"))
        ),
    ],
)
def test_other_changes_of_the_sdk(name: str, old: str, new: str, lines: list[str], sdk: Copy) -> None:
    sdk.edit(name, old, new)

    assert sdk.faults() == lines


def test_a_new_package_of_the_sdk_is_found(sdk: Copy) -> None:
    sdk.write("workflow_tests/raw_client.py", "class RawWorkflowTestsClient:\n    pass\n")

    assert sdk.faults() == ["area workflow_tests: only in the SDK: a package without an operation of the spec"]


def test_a_package_in_another_one_is_read_as_well(sdk: Copy) -> None:
    text = (sdk.folder / "workflow_revisions/raw_client.py").read_text("utf-8")
    sdk.write("workflows/drafts/raw_client.py", text.replace("from ..", "from ...").replace("/revisions/", "/drafts/"))
    sdk.write("agents/tests/raw_client.py", "class RawTestsClient:\n    pass\n")

    assert sdk.faults() == [
        "area agents/tests: only in the SDK: a package without an operation of the spec",
        "PUT /v2/workflows/{workflow_id}/drafts/{revision_id}: only in the SDK: an operation",
    ]


def test_other_forms_of_the_same_types(sdk: Copy) -> None:
    """As other versions of the SDK's generator write them."""
    sdk.edit(
        "types/run_log.py",
        "class RunLog(UncheckedBaseModel):\n    workflow_display_name: str\n",
        "class _Base(UncheckedBaseModel):\n    workflow_display_name: 'str'\n\n\nclass RunLog(_Base):\n",
    )
    sdk.edit("types/run_log.py", "environment: typing.Optional[str] = None", "environment: str | None = None")
    sdk.edit("types/run_log.py", "typing.Dict[str, BlockRun]", "dict[str, 'BlockRun']")
    sdk.write(
        "types/prompt_role.py",
        "import enum\n\n\nclass PromptRole(str, enum.Enum):\n"
        + "".join(f'    {each.upper()} = "{each}"\n' for each in ("assistant", "user", "system")),
    )
    sdk.edit("workflow_revisions/raw_client.py", '"description": description,', '"description": str(description),')

    assert sdk.faults() == []


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("types/run_log.py", "cost: float", "cost: complex", r"scoutos/types/run_log\.py:20: an unknown type: complex"),
        ("types/run_log.py", "cost: float", "cost: (", r"types/run_log\.py: '\(' was never closed"),
        (
            "workflow_logs/raw_client.py",
            '                "cursor": cursor,\n',
            '                **{"cursor": cursor},\n',
            r"scoutos/workflow_logs/raw_client\.py:\d+: a name that is not a text",
        ),
        ("workflow_logs/raw_client.py", ".httpx_client.stream(", ".http.stream(", "list_logs sends 0 requests"),
        *(
            (
                "workflow_revisions/raw_client.py",
                "            request_options=request_options,\n",
                f"            {more}\n            request_options=request_options,\n",
                rf"scoutos/workflow_revisions/raw_client\.py:\d+: a request with {named}$",
            )
            for more, named in (
                ('base_url="https://logs.example.com",', "base_url"),
                ('data={"name": name},', "data"),
                ("**more,", r"\*\*"),
            )
        ),
    ],
)
def test_what_cannot_be_read_is_named_and_not_left_out(
    name: str, old: str, new: str, said: str, sdk: Copy, capsys: pytest.CaptureFixture[str]
) -> None:
    sdk.edit(name, old, new)

    with pytest.raises(drift.UnreadableError, match=said):
        sdk.faults()
    assert drift.main(["--sdk", str(sdk.folder)]) == 2
    assert capsys.readouterr().err.startswith("drift: ")


def test_the_newest_sdk_is_installed_apart(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def pip(command: list[str], *, check: bool) -> Any:
        commands.append(command)
        target = Path(command[command.index("--target") + 1])
        (target / "scoutos-99.1.0.dist-info").mkdir()
        shutil.copytree(copied, target / "scoutos")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(drift.subprocess, "run", pip)
    assert drift.main(["--latest"]) == 0
    assert capsys.readouterr().out.startswith("drift: scoutos 99.1.0: 16 operations and ")
    [command] = commands
    assert command[1:4] == ["-m", "pip", "install"]
    assert command[-1] == "scoutos"
    assert not Path(command[-2]).exists()

    monkeypatch.setattr(drift.subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 1))
    assert drift.main(["--latest"]) == 2
    assert "could not be installed" in capsys.readouterr().err


def test_a_folder_without_an_sdk_is_not_a_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert drift.main(["--sdk", str(tmp_path)]) == 2
    assert "no package has an operation under" in capsys.readouterr().err


# --- Changes of the spec ------------------------------------------------------------------------------------------


def test_a_change_of_the_spec_is_found(sdk: Copy) -> None:
    spec = changed(SPEC)
    schemas = spec["components"]["schemas"]
    schemas["RunLog"]["properties"]["invented"] = {"type": "boolean"}
    schemas["WorkflowConfig"]["required"] = ["blocks"]
    del spec["paths"]["/v2/run_logs/details"]

    assert sdk.faults(spec=spec) == [
        "GET /v2/run_logs/details: only in the SDK: an operation",
        *(
            f"{place}blocks: the SDK says optional, the spec says required"
            for place in (
                "POST /v2/workflows body ",
                "POST /v2/workflows/revisions body ",
                "PUT /v2/workflows/{workflow_id} body ",
            )
        ),
        "RunLog.invented: only in the spec: boolean, optional",
        "WorkflowConfig.blocks: the SDK says optional, the spec says required",
    ]


def test_an_open_enum_is_an_enum(sdk: Copy) -> None:
    spec = changed(SPEC)
    schemas = spec["components"]["schemas"]
    for each in schemas.values():
        if "enum" in each:
            known = dict(each)
            each.clear()
            each["anyOf"] = [known, {"type": "string"}]

    assert sdk.faults(spec=spec) == []


# --- The list -----------------------------------------------------------------------------------------------------


def test_an_entry_that_matches_nothing_is_reported(sdk: Copy) -> None:
    accepted = changed(ACCEPTED)
    accepted["accepted"].append({"places": ["RunLog.gone"], "kind": "only-sdk", "reason": "It was there once."})
    accepted["names"]["Gone"] = "RunLog"

    assert sdk.faults(accepted=accepted) == [
        "drift.toml accepts what is no longer there: RunLog.gone (only-sdk)",
        "drift.toml accepts what is no longer there: the class Gone, which no operation needs",
    ]


def test_every_entry_is_needed(monkeypatch: pytest.MonkeyPatch, sdk: Copy) -> None:
    found: list[Any] = []
    monkeypatch.setattr(drift, "differences", lambda *apis, real=drift.differences: found.extend(real(*apis)) or found)
    assert sdk.faults() == []

    def faults(accepted: dict[str, Any]) -> list[str]:
        return drift.Accepted(accepted).judge(found, ACCEPTED["names"])[0]

    assert faults(ACCEPTED) == []
    for number, entry in enumerate(ACCEPTED["accepted"]):
        accepted = changed(ACCEPTED)
        del accepted["accepted"][number]
        assert len(faults(accepted)) >= len(entry["places"])
    for number in range(len(ACCEPTED["kinds"])):
        accepted = changed(ACCEPTED)
        del accepted["kinds"][number]
        assert len(faults(accepted)) > 10


def test_a_kind_is_not_accepted_in_what_a_caller_sends(sdk: Copy) -> None:
    sdk.edit("types/dependency.py", "ui: typing.Optional[EdgeUi] = None", "ui: EdgeUi")

    assert sdk.faults() == [
        "Dependency.ui: the SDK says required, the spec says optional",
        "Dependency.ui: the SDK says never null, the spec says null is allowed",
    ]


@pytest.mark.parametrize(
    "entry",
    [
        {"places": ["RunLog.cost"], "kind": "type", "reason": "It does not say what the SDK says."},
        {"places": ["RunLog.cost"], "kind": "only-sdk", "reason": " "},
        {"places": ["RunLog.cost"], "kind": "unheard-of", "reason": "No such kind."},
        {"places": ["RunLog.cost"], "kind": "only-sdk"},
    ],
)
def test_an_entry_needs_all_of_its_parts(entry: dict[str, Any]) -> None:
    with pytest.raises(drift.UnreadableError, match=r"drift\.toml: an entry "):
        drift.Accepted({"accepted": [entry]})


# --- The API itself -----------------------------------------------------------------------------------------------

LIVE_KEY = "secret_of_the_live_test"


@pytest.fixture(scope="module")
def recorded() -> Any:
    with LocalScout() as local, Scout(LIVE_KEY, base_url=local.url) as scout:
        return live.record(scout.raw.get_httpx_client())


def test_two_runs_of_the_local_scout_fit_the_spec(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with LocalScout() as local:
        monkeypatch.setenv("SCOUT_API_KEY", LIVE_KEY)
        monkeypatch.setenv("SCOUT_BASE_URL", local.url)
        code = drift.main(["--live", "--yes", "--keep", str(tmp_path / "kept")])
        requests = [(each.method, each.path) for each in local.requests]

    said = capsys.readouterr().out.splitlines()
    assert code == 0, said
    assert requests == [("GET", live.MISSING), ("POST", live.EXECUTE), ("POST", live.EXECUTE)]
    assert said[-1] == "drift: one run and one stream compared with the spec, 0 faults"
    assert {
        'Is there an output_block_id? "answer"',
        "Is there `meta` in the state? no",
        "How does an error other than 422 look? 404: {detail: text}",
        "Does [DONE] come? no",
        "What is the price beside `data`? text (11)",
        "What is the price inside `data`? absent (8), number (3)",
        'Is update_type sent? "partial" (4), "complete" (1)',
    } <= set(said)
    assert json.loads((tmp_path / "kept" / "run.json").read_bytes())["run"]["stop_reason"] == "workflow_run_completed"
    assert (tmp_path / "kept" / "stream.txt").read_bytes().startswith(b"event: workflow_run_started\n")


def test_nothing_is_sent_without_a_yes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with LocalScout() as local:
        monkeypatch.setenv("SCOUT_API_KEY", LIVE_KEY)
        monkeypatch.setenv("SCOUT_BASE_URL", local.url)
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # not a terminal
        assert drift.main(["--live"]) == 2
        assert local.requests == []
    assert f"twice at {local.url}, which may cost money" in capsys.readouterr().err


def test_a_key_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("SCOUT_API_KEY", raising=False)
    assert drift.main(["--live", "--yes"]) == 2
    assert "SCOUT_API_KEY" in capsys.readouterr().err


def test_the_key_is_not_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    echo = {"detail": f"The key {LIVE_KEY} is not known."}
    with Server(json_answer(echo, 401)) as server:
        monkeypatch.setenv("SCOUT_API_KEY", LIVE_KEY)
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        assert drift.main(["--live", "--yes", "--keep", str(tmp_path)]) == 1

    said = capsys.readouterr()
    assert 'the run: status 401, application/json: {"detail": "The key [key] is not known."}' in said.out
    assert LIVE_KEY not in said.out + said.err + "".join(each.read_text() for each in tmp_path.iterdir())


def test_a_config_with_an_unknown_field_may_be_refused() -> None:
    def strict(request: Received) -> Any:
        if live.UNKNOWN in request.body.decode():
            return json_answer({"detail": []}, 422)
        return json_answer(run_answer())

    with Server(route(strict)) as server, Scout(LIVE_KEY, base_url=server.url) as scout:
        recorded = live.record(scout.raw.get_httpx_client())

    assert recorded.run.status == 200
    assert dict(live.answers(recorded))["Does a config with an unknown field pass?"] == "no, 422"


def edited(recorded: Any, part: str, change: Callable[[str], str]) -> Any:
    reply = getattr(recorded, part)
    body = change(reply.body.decode()).encode()
    assert body != reply.body
    return dataclasses.replace(recorded, **{part: dataclasses.replace(reply, body=body)})


@pytest.mark.parametrize(
    ("part", "old", "new", "lines"),
    [
        ("run", '"errors":[]', '"errors":[],"seed":1', ["the run has a field that the spec does not know: $.run.seed"]),
        ("run", '"errors":[]', '"errors":[1]', ["the run does not fit: "]),
        ("run", '"errors":[]', '"errors":null', []),
        (
            "stream",
            '"update_type":"partial"',
            '"update_type":"partial","part":1',
            ["the event block_state_updated has a field that the spec does not know: $.data.part"],
        ),
        ("stream", "block_run_started", "block_run_began", ["the spec does not know the event block_run_began"]),
        (
            "stream",
            '"inputs":{"word":"lighthouse"},"session_id"',
            '"inputs":[],"session_id"',
            ["the event workflow_run_started does not fit: $.data.inputs"],
        ),
        ("stream", '"actor":{"id"', '"actor":{"role":1,"id"', ["the event workflow_run_started has a field that"]),
        ("stream", "\n", "\r\n", []),
        ("stream", "event: workflow_run_completed\n", "data: [DONE]\n\nevent: workflow_run_completed\n", []),
        (
            "stream",
            "event: workflow_run_completed\n",
            "data: Bye\n\nevent: workflow_run_completed\n",
            ["an event is not"],
        ),
    ],
)
def test_what_does_not_fit_is_found(part: str, old: str, new: str, lines: list[str], recorded: Any) -> None:
    assert live.faults(recorded, SPEC) == []

    found = live.faults(edited(recorded, part, lambda text: text.replace(old, new)), SPEC)

    assert len(found) == len(lines)
    assert all(each.startswith(line) for each, line in zip(found, lines, strict=True))


@pytest.mark.parametrize(
    ("old", "new", "question", "answer"),
    [
        ("\n", "\r\n", "How do lines of a stream end?", "CRLF (33)"),
        ("\n\n", "\n\n: still here\n\n", "Are there heartbeats (comments)?", "yes"),
        ("event: workflow_run_c", "data: [DONE]\n\nevent: workflow_run_c", "Does [DONE] come?", "yes"),
        ("event: ", "id: 1\nevent: ", "Which fields do its events have?", "id (11), event (11), data (11)"),
        ("event: block_", "event: bloc_", "Is the `event:` of the stream the name?", "no, bloc_"),
        (',"update_type":"partial"', "", "Is update_type sent?", 'absent (4), "complete" (1)'),
        ('"price":0.0', '"price":"0.0"', "What is the price inside `data`?", "absent (8), text (2), number (1)"),
        ('"version":"1.0"', '"version":"2.0"', "Which version do events have?", '"2.0" (11)'),
    ],
)
def test_a_stream_answers_open_questions(old: str, new: str, question: str, answer: str, recorded: Any) -> None:
    given = dict(live.answers(edited(recorded, "stream", lambda text: text.replace(old, new))))

    assert answer in given[question]


def test_a_run_answers_open_questions(recorded: Any) -> None:
    def change(text: str) -> str:
        run = json.loads(text)
        del run["output_block_id"]
        run["run"]["state"]["answer"]["meta"] = {"model": "m", "input_tokens": 21}
        run["run"] |= {"stop_reason": "workflow_run_failed", "errors": ["no"]}
        return json.dumps(run)

    given = dict(live.answers(edited(recorded, "run", change)))

    assert given["Is there an output_block_id?"] == "no"
    assert given["Is there `meta` in the state?"] == "{model: text, input_tokens: integer}"
    assert given["Which status has a run that failed?"] == '200, with the errors ["no"]'


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "application/json", b'{"run": [1], "workflow_id": 5}'),
        (200, "application/json", b'{"run": {"state": "x", "stop_reason": []}}'),
        (200, "application/json", b"[]"),
        (200, "text/html", b"<html>"),
        (500, "application/json", b"\xff"),
        (200, "text/event-stream", b'data: {"name": [], "data": 5}\n\ndata: [1]\n\ndata: \xff\n\n'),
        (200, "text/event-stream", b'data: {"name": "workflow_run_completed", "data": null}\n\n'),
    ],
)
def test_an_odd_answer_is_a_fault_and_no_crash(status: int, content_type: str, body: bytes) -> None:
    """Two runs were paid for; what they gave is compared, whatever it is."""
    reply = live.Reply(status, content_type, body)
    odd = live.Recorded(reply, reply, reply, None)

    assert len(live.faults(odd, SPEC)) > 1
    assert dict(live.answers(odd))["How does an error other than 422 look?"].startswith(str(status))

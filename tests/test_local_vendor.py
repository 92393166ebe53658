"""The vendor's own SDK, unchanged, against the local Scout: every call it can make. Its known defects are named."""

import asyncio
import datetime
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from scout.local import LocalScout

scoutos = pytest.importorskip("scoutos", reason="the vendor's SDK is not installed (dependency group dev)")

KEY = "secret_vendor"
BLOCKS = [
    {
        "block_id": "input",
        "block_archetype_id": "com.scoutos.input",
        "block_display_name": "Input",
        "block_config": [{"type": "text-short", "id": "a", "display_name": "A", "value": "b"}],
        "block_inputs": {"items": [{"key": "name", "input_type": "short_text"}]},
        "dependencies": [],
    },
    {
        "block_id": "greeting",
        "block_archetype_id": "com.scoutos.text",
        "block_display_name": "Greeting",
        "block_config": [],
        "block_inputs": {"text": "Hello, {{ inputs.name }}"},
        "dependencies": [{"block_id": "input"}],
        "is_output": True,
    },
]
INPUTS = {"name": "Ada"}
COMPLETED = [
    "WorkflowRunStarted",
    *("BlockRunStarted", "BlockRunCompleted"),
    *("BlockRunStarted", "BlockStateUpdated", "BlockRunCompleted"),
    "WorkflowRunCompleted",
]
FAILED = ["WorkflowRunStarted", "BlockRunStarted", "BlockRunFailed", "WorkflowRunFailed"]


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


class Vendor:
    """Both clients of the SDK as one: `await`s what is to be awaited."""

    def __init__(self, url: str, *, is_async: bool) -> None:
        self.loop = asyncio.new_event_loop()
        self.is_async = is_async
        # Connections of our own, because the SDK cannot close its (defect 27 of those known).
        self.http: Any = (httpx.AsyncClient if is_async else httpx.Client)(timeout=30)
        self.make: Callable[..., Any] = scoutos.AsyncScout if is_async else scoutos.Scout
        self.url = url
        self.sdk = self.make(base_url=url, api_key=KEY, httpx_client=self.http)

    def call(self, method: str, /, *args: Any, of: str = "workflows", **options: Any) -> Any:
        found = getattr(getattr(self.sdk, of), method)(*args, **options)
        if inspect.isawaitable(found):
            return self.loop.run_until_complete(self._result(found))
        if inspect.isasyncgen(found):
            return self.loop.run_until_complete(self._all(found))
        return list(found) if inspect.isgenerator(found) else found

    async def _result(self, pending: Any) -> Any:
        return await pending

    async def _all(self, stream: Any) -> list[Any]:
        return [event async for event in stream]

    def error(self, method: str, /, *args: Any, **options: Any) -> Any:
        with pytest.raises(scoutos.core.api_error.ApiError) as raised:
            self.call(method, *args, **options)
        return raised.value

    def close(self) -> None:
        if self.is_async:
            self.loop.run_until_complete(self.http.aclose())
        else:
            self.http.close()
        self.loop.close()


@pytest.fixture(params=["sync", "async"])
def vendor(request: pytest.FixtureRequest, server: LocalScout) -> Iterator[Vendor]:
    server.reset()
    vendor = Vendor(server.url, is_async=request.param == "async")
    yield vendor
    vendor.close()


def assert_stored(workflow: Any) -> None:
    """A workflow in the SDK's own types; it takes what does not fit them as well, but as something else."""
    for moment in (workflow.created_at, workflow.last_updated_at):
        assert isinstance(moment, datetime.datetime)
        assert moment.utcoffset() == datetime.timedelta(0)
    for who in (workflow.created_by, workflow.last_updated_by):
        assert (type(who).__name__, who.type, type(who.details).__name__) == ("Identity", "api_key", "ApiKeyIdentity")
        assert who.details.api_key == {"name": "local"}
    assert type(workflow.workflow_config).__name__ == "WorkflowConfigOutput"
    assert [type(block).__name__ for block in workflow.workflow_config.blocks] == ["BlockOutput"] * 2
    (item,) = workflow.workflow_config.blocks[0].block_config
    assert (type(item).__name__, item.value) == ("BlockConfigItemTextShort", "b")


def assert_ran(answer: Any) -> None:
    assert type(answer).__name__ == "WorkflowRunResponse"
    assert answer.run.stop_reason == "workflow_run_completed"
    assert answer.run.state["greeting"]["output"] == "Hello, Ada"
    assert answer.output_block_id == "greeting"


def test_a_config_runs(vendor: Vendor) -> None:
    for more in ({}, {"streaming": False}, {"workflow_key": "mine", "environment": "staging"}):
        assert_ran(vendor.call("run_with_config", workflow_config={"blocks": BLOCKS}, inputs=INPUTS, **more))
    assert vendor.call("run_with_config", workflow_config={}).run.stop_reason == "workflow_run_completed"


def test_a_workflow_lives_its_life(vendor: Vendor) -> None:
    created = vendor.call("create", workflow_key="hello", blocks=BLOCKS, tags=["a"]).data
    assert_stored(created)
    assert (created.workflow_key, created.workflow_config.tags, created.is_draft) == ("hello", ["a"], False)

    by_key = vendor.call("create_revision", workflow_key="hello", workflow_display_name="By key", blocks=BLOCKS).data
    by_id = vendor.call("create_revision", workflow_id=created.workflow_id, blocks=BLOCKS).data
    for revised in (by_key, by_id):
        assert_stored(revised)
        assert revised.workflow_id == created.workflow_id
    assert len({each.revision_id for each in (created, by_key, by_id)}) == 3

    updated = vendor.call("update", created.workflow_id, workflow_display_name="Draft", blocks=BLOCKS).data
    got = vendor.call("get", created.workflow_id).data
    for draft in (updated, got):
        assert_stored(draft)
        assert (draft.workflow_config.workflow_display_name, draft.is_draft) == ("Draft", True)
    assert got.last_updated_at > got.created_at == created.created_at

    for options in ({}, {"environment": "staging"}, {"revision_id": created.revision_id}, {"environment": "console"}):
        answer = vendor.call("run", created.workflow_id, inputs=INPUTS, session_id="sess_mine", **options)
        assert_ran(answer)
        assert (answer.workflow_id, answer.run.session_id) == (created.workflow_id, "sess_mine")

    assert vendor.call("delete", created.workflow_id).detail
    assert vendor.error("get", created.workflow_id).status_code == 404


def assert_made_here(*identities: Any) -> None:
    for who in identities:
        assert (type(who).__name__, who.type, type(who.details).__name__) == ("Identity", "api_key", "ApiKeyIdentity")


def test_revisions_are_listed_named_promoted_and_deleted(vendor: Vendor) -> None:
    one = vendor.call("create", workflow_key="hello", blocks=BLOCKS).data
    two = vendor.call("create_revision", workflow_key="hello", blocks=BLOCKS).data

    listed = vendor.call("list", one.workflow_id, of="revisions")
    assert type(listed).__name__ == "SrcHandlersListWorkflowRevisionsResponse"
    for revision in listed.data:
        assert_stored(revision)
    assert [each.revision_id for each in listed.data] == [two.revision_id, one.revision_id]

    for more in ({}, {"description": "The prompt asks for one sentence."}):
        named = vendor.call("update", one.workflow_id, one.revision_id, of="workflow_revisions", name="Shorter", **more)
        assert_stored(named.data)
        assert named.data == listed.data[1]

    promoted = vendor.call("update", one.workflow_id, one.revision_id, of="revisions").data
    assert_stored(promoted)
    assert promoted.revision_id == one.revision_id
    error = vendor.error("delete", one.workflow_id, one.revision_id, of="revisions")
    assert (error.status_code, "production" in error.body["detail"]) == (409, True)

    vendor.call("update", one.workflow_id, two.revision_id, of="revisions")
    assert vendor.call("delete", one.workflow_id, one.revision_id, of="revisions").detail
    assert [each.revision_id for each in vendor.call("list", one.workflow_id, of="revisions").data] == [two.revision_id]


def test_environments_are_listed_and_set(vendor: Vendor) -> None:
    one = vendor.call("create", workflow_key="hello", blocks=BLOCKS).data
    two = vendor.call("create_revision", workflow_key="hello", blocks=BLOCKS, workflow_display_name="Two").data
    listed = vendor.call("list", one.workflow_id, of="environments")

    assert type(listed).__name__ == "SrcHandlersGetWorkflowEnvironmentsResponse"
    assert [each.environment_config.name for each in listed.data] == ["development", "staging", "production"]
    for environment in listed.data:
        assert type(environment).__name__ == "Environment"
        assert type(environment.environment_config).__name__ == "EnvironmentConfig"
        (deployment,) = environment.deployments
        assert type(deployment).__name__ == "EnvironmentDeploymentDocument"
        assert type(deployment.deployment_config).__name__ == "EnvironmentDeploymentConfig"
        assert deployment.deployment_config.revision_lookup == "latest"
        for moment in (environment.created_at, environment.last_updated_at, deployment.created_at):
            assert isinstance(moment, datetime.datetime)
        assert_made_here(environment.created_by, environment.last_updated_by, deployment.created_by)

    staging = listed.data[1]
    place = (one.workflow_id, staging.environment_id)
    for revision, config in (
        (one, {"revision_lookup": "revision_id", "revision_id": one.revision_id}),
        (two, {"revision_lookup": "latest"}),
    ):
        options = {"description": "", "deployments": [scoutos.EnvironmentDeploymentConfig(**config)]}
        done = vendor.call("update", *place, of="environments", name="staging", **options)
        assert type(done).__name__ == "SrcHandlersUpdateWorkflowEnvironmentResponse"
        assert done.success is True
        refused = vendor.error("update", *place, of="environments", name="another", **options)
        assert isinstance(refused, scoutos.errors.UnprocessableEntityError)

        session = {"session_id": config["revision_lookup"]}
        vendor.call("run", one.workflow_id, inputs=INPUTS, environment="staging", **session)
        log = vendor.call("get_details", of="workflow_logs", workflow_id=one.workflow_id, **session)
        assert (log.revision_id, log.environment) == (revision.revision_id, "staging")


def assert_log(log: Any, status: str) -> None:
    assert (type(log).__name__, log.status) == ("RunLog", status)
    assert isinstance(log.timestamp_start, datetime.datetime)
    assert isinstance(log.timestamp_end, datetime.datetime)
    assert isinstance(log.cost, float)
    assert isinstance(log.elapsed_time_ms, int)
    assert log.workflow_display_name == "Hello"
    for block in log.blocks.values():
        assert type(block).__name__ == "BlockRun"
        assert isinstance(block.timestamp_end, datetime.datetime)
        assert block.block_type == block.block_archetype_id


def test_the_logs_say_what_became_of_runs(vendor: Vendor) -> None:
    stored = vendor.call("create", workflow_display_name="Hello", blocks=BLOCKS).data
    workflow_id = stored.workflow_id
    for number in range(3):
        vendor.call("run", workflow_id, inputs=INPUTS, session_id=f"sess_{number}")
    vendor.call("run_stream", workflow_id, inputs={"name": 1}, session_id="sess_failed", environment="staging")

    by_session = vendor.call("get_details", of="workflow_logs", workflow_id=workflow_id, session_id="sess_1")
    assert_log(by_session, "completed")
    assert (by_session.output, list(by_session.blocks)) == ("Hello, Ada", ["input", "greeting"])
    assert by_session.blocks["greeting"].block_inputs == {"text": "Hello, Ada"}
    assert by_session.blocks["greeting"].block_output == {"output": "Hello, Ada"}
    assert (by_session.revision_id, by_session.environment) == (stored.revision_id, "production")
    run_id = by_session.workflow_run_id
    assert vendor.call("get_details", of="workflow_logs", workflow_id=workflow_id, workflow_run_id=run_id) == by_session

    *rows, end = vendor.call("list_logs", of="workflow_logs", workflow_id=workflow_id)
    for row, status in zip(rows, ["failed", "completed", "completed", "completed"], strict=True):
        assert_log(row, status)
    assert rows[2] == by_session
    assert "must be text" in rows[0].message
    # SDK typing does not tell the two apart; here it happens to take the right one, by its required fields.
    assert (type(end).__name__, end.final, end.has_more) == ("RunLogPagination", True, False)

    found: list[str] = []
    options: dict[str, Any] = {"limit": 2, "status": "completed", "start_date": rows[-1].timestamp_start.isoformat()}
    for _ in range(2):
        *rows, end = vendor.call("list_logs", of="workflow_logs", workflow_id=workflow_id, **options)
        found += [row.session_id for row in rows]
        options["cursor"] = end.next_cursor
    assert (found, end.has_more) == (["sess_2", "sess_1", "sess_0"], False)
    options = {"session_id": "sess_1", "summary_only": True, "end_date": "2999-01-01T00:00:00Z"}
    summary, _ = vendor.call("list_logs", of="workflow_logs", workflow_id=workflow_id, **options)
    assert (summary.workflow_run_id, summary.blocks) == (run_id, {})

    assert vendor.error("get_details", of="workflow_logs", workflow_id=workflow_id).status_code == 400
    missing = {"workflow_id": workflow_id, "session_id": "none"}
    assert vendor.error("get_details", of="workflow_logs", **missing).status_code == 404
    assert vendor.error("list_logs", of="workflow_logs", workflow_id="wf_none").status_code == 404
    refused = vendor.error("list_logs", of="workflow_logs", workflow_id=workflow_id, start_date="x")
    assert isinstance(refused, scoutos.errors.UnprocessableEntityError)


def test_a_stored_workflow_streams(vendor: Vendor) -> None:
    stored = vendor.call("create", blocks=BLOCKS).data
    unknown = {"block_id": "a", "block_archetype_id": "com.scoutos.unknown", "block_display_name": "A"}
    failing = vendor.call("create", blocks=[unknown]).data

    events = vendor.call("run_stream", stored.workflow_id, inputs=INPUTS)
    failed = vendor.call("run_stream", failing.workflow_id)

    # By type: the SDK takes an event for another as soon as it differs from what the SDK expects (defect 5).
    assert [type(event).__name__ for event in events] == COMPLETED
    assert [type(event).__name__ for event in failed] == FAILED
    assert [event.data.block_id for event in events if event.name == "block_run_completed"] == ["input", "greeting"]
    assert events[4].data.update_data == {"output": "Hello, Ada"}
    assert events[-1].data.output["greeting"] == {"output": "Hello, Ada"}


@pytest.mark.parametrize("form", [str, lambda cursor: cursor.isoformat().replace("+00:00", "Z")], ids=["str", "Z"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_the_list_pages_by_the_cursor_as_the_sdk_hands_it_back(direction: str, form: Any, vendor: Vendor) -> None:
    keys = [f"workflow-{number}" for number in range(7)]
    for key in keys:
        vendor.call("create", workflow_key=key, blocks=BLOCKS)

    found: list[str] = []
    cursor = None
    for _ in range(5):
        # The SDK reads the cursor as a time and writes it anew.
        start_at = None if cursor is None else form(cursor)
        page = vendor.call("list", limit=3, start_at=start_at, sort="created_at", direction=direction)
        for workflow in page.data:
            assert_stored(workflow)
        found += [workflow.workflow_key for workflow in page.data]
        cursor = page.next_cursor
        if not page.has_more:
            break

    assert found == (keys if direction == "asc" else keys[::-1])


def test_errors_are_the_sdks_own(vendor: Vendor) -> None:
    vendor.call("create", workflow_key="taken", blocks=BLOCKS)
    assert vendor.error("create", workflow_key="taken", blocks=BLOCKS).status_code == 409
    assert vendor.error("run", "wf_unknown").status_code == 404

    refused = vendor.error("run_with_config", workflow_config={"blocks": [{"block_id": "a"}]})
    assert isinstance(refused, scoutos.errors.UnprocessableEntityError)
    assert refused.body.detail[0].loc[:2] == ["body", "workflow_config"]

    vendor.sdk = vendor.make(base_url=vendor.url, api_key="another", httpx_client=vendor.http)
    assert vendor.error("list").status_code == 401


def test_defect_2_a_streamed_config_fails_in_the_sdk_after_the_run(vendor: Vendor, server: LocalScout) -> None:
    error = vendor.error("run_with_config", workflow_config={"blocks": BLOCKS}, inputs=INPUTS, streaming=True)

    assert error.status_code == 200
    assert "workflow_run_completed" in error.body
    assert [run.output for run in server.runs] == ["Hello, Ada"]


def test_another_defect_an_empty_config_is_sent_as_no_body(vendor: Vendor, server: LocalScout) -> None:
    # The reference page has `{}` for the smallest body; the SDK sends none, which no source says is one.
    assert vendor.error("create", workflow_key="empty").body.detail[0].msg == "Field required"
    assert server.requests[-1].content == b""

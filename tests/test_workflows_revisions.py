"""Revisions and environments of stored workflows, in both clients: what is sent, read, and changed by a deployment."""

import copy
from typing import Any

import pytest
from servers import (
    KEY,
    WORKFLOW,
    Behaviour,
    Caller,
    Received,
    Server,
    answer,
    close_unanswered,
    half_body,
    html,
    json_answer,
    route,
    silent,
)
from test_workflows import ask, page, script_of, single, stored

from scout import (
    APIConnectionError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    Scout,
    ScoutError,
    StoredWorkflow,
    WorkflowEnvironment,
)

pytestmark = pytest.mark.usefixtures("no_waiting")

LATEST = {"revision_lookup": "latest"}
Json = dict[str, Any]


def runs(revision_id: str, **more: Any) -> Json:
    return {"revision_lookup": "revision_id", "revision_id": revision_id, **more}


def environment(name: str, *configs: Json, **more: Any) -> Json:
    return {
        "environment_id": f"env_{name}",
        "environment_config": {"name": name, "description": f"About {name}"},
        "deployments": [{"deployment_id": "dep", "deployment_config": each} for each in configs],
        **more,
    }


def three(development: Json, staging: Json, production: Json) -> list[Json]:
    return [
        environment("development", development),
        environment("staging", staging),
        environment("production", production),
    ]


ENVIRONMENTS = json_answer({"data": three(LATEST, LATEST, runs("rev_1"))})
DONE = json_answer({"success": True})


# --- One call each ------------------------------------------------------------------------------------------------

CALLS: dict[str, tuple[str, tuple[Any, ...], Json, Any, Behaviour, str]] = {
    "revisions": ("GET /v2/workflows/wf_2/revisions", (), {}, None, json_answer(page(stored(1))), ""),
    "rename_revision": (
        "PUT /v2/workflows/wf_2/revisions/rev_1",
        ("rev_1", "Shorter"),
        {"description": "One sentence."},
        {"name": "Shorter", "description": "One sentence."},
        json_answer(single(2)),
        "the revision may have been renamed",
    ),
    "delete_revision": (
        "DELETE /v2/workflows/wf_2/revisions/rev_1",
        ("rev_1",),
        {},
        None,
        json_answer({"detail": "gone"}),
        "the revision may have been deleted",
    ),
    "promote": (
        "PUT /v2/workflows/wf_2/revisions/rev_1/promote",
        ("rev_1",),
        {},
        None,
        json_answer(single(2)),
        "the revision may have been promoted",
    ),
    "environments": ("GET /v2/workflows/wf_2/environments", (), {}, None, ENVIRONMENTS, ""),
}


@pytest.mark.parametrize("method", CALLS)
def test_the_request(method: str, call: Caller) -> None:
    line, args, options, body, good, _ = CALLS[method]
    with Server(good) as server:
        ask(call, server.url, method, "wf_2", *args, **options, extra_query={"a": "b"}, extra_headers={"x-a": "c"})
    (request,) = server.requests
    assert f"{request.method} {request.path}" == line
    assert request.query == {"a": "b"}
    assert request.headers["x-a"] == "c"
    assert (request.json() if request.body else None) == body


@pytest.mark.parametrize("method", CALLS)
def test_the_workflow_with_a_key_is_found_first(method: str, call: Caller) -> None:
    line, args, options, _, good, _ = CALLS[method]
    with Server([json_answer(page(stored(1), stored(2, workflow_key="mine"))), good]) as server:
        ask(call, server.url, method, "key:mine", *args, **options)
    assert script_of(server) == ["GET /v2/workflows", line]


@pytest.mark.parametrize("failure", [answer(503), close_unanswered, half_body(b'{"data": []}')])
@pytest.mark.parametrize("method", CALLS)
def test_it_is_repeated(method: str, failure: Behaviour, call: Caller) -> None:
    _, args, options, _, good, _ = CALLS[method]
    with Server([failure, good]) as server:
        ask(call, server.url, method, "wf_2", *args, **options)
    assert len(set(script_of(server))) == 1
    assert server.hits == 2


@pytest.mark.parametrize("method", CALLS)
def test_an_error_says_what_may_have_been_done(method: str, call: Caller) -> None:
    _, args, options, _, _, outcome = CALLS[method]
    with Server(answer(503)) as server, pytest.raises(APIStatusError) as raised:
        ask(call, server.url, method, "wf_2", *args, **options, retries=1)
    assert server.hits == 2
    assert outcome in str(raised.value)
    assert ("may have been" in str(raised.value)) is bool(outcome)
    assert raised.value.run_may_have_started is False


@pytest.mark.parametrize("bad", ["", ".", "..", None, 5, b"rev", {"a": 1}])
@pytest.mark.parametrize("method", ["rename_revision", "delete_revision", "promote"])
def test_a_revision_is_one_segment_of_text(method: str, bad: Any, call: Caller) -> None:
    _, args, options, _, good, _ = CALLS[method]
    with Server(good) as server, pytest.raises(ConfigurationError, match="^revision_id must "):
        ask(call, server.url, method, "key:mine", bad, *args[1:], **options)
    assert server.hits == 0


def test_ids_are_encoded(call: Caller) -> None:
    with Server(json_answer({})) as server:
        ask(call, server.url, "promote", "a/b", "c/d?e#ü")
    assert server.requests[0].target == "/v2/workflows/a%2Fb/revisions/c%2Fd%3Fe%23%C3%BC/promote"


@pytest.mark.parametrize(
    ("args", "options", "said"),
    [
        ((None,), {}, "name must be text, not NoneType"),
        (("",), {}, "name must not be empty"),
        (("n",), {"description": 5}, "description must be text, not int"),
        (("n\ud800",), {}, "half of a surrogate pair"),
    ],
)
def test_a_name_of_a_revision_is_text(args: Any, options: Any, said: str, call: Caller) -> None:
    with Server(json_answer({})) as server, pytest.raises(ConfigurationError, match=said):
        ask(call, server.url, "rename_revision", "wf", "rev", *args, **options)
    assert server.hits == 0


def test_an_extra_body_needs_a_body(call: Caller) -> None:
    with Server(json_answer(single(2))) as server:
        ask(call, server.url, "rename_revision", "wf", "rev", "n", extra_body={"color": "red"})
        with pytest.raises(ConfigurationError, match="extra_body is not for this call"):
            ask(call, server.url, "promote", "wf", "rev", extra_body={"color": "red"})
    (request,) = server.requests
    assert request.json() == {"name": "n", "color": "red"}


# --- What comes back ----------------------------------------------------------------------------------------------


def test_revisions_keep_the_order_of_the_server(call: Caller) -> None:
    with Server(json_answer({"data": [stored(2), stored(3), stored(1)]})) as server:
        revisions = ask(call, server.url, "revisions", "wf_2")
    assert all(isinstance(each, StoredWorkflow) for each in revisions)
    assert [each.revision_id for each in revisions] == ["rev_2", "rev_3", "rev_1"]


@pytest.mark.parametrize("method", ["rename_revision", "promote"])
def test_an_answer_without_a_revision(method: str, call: Caller) -> None:
    args = CALLS[method][1]
    for empty in (json_answer({}), json_answer({"data": None}), answer(204, content_type=None)):
        with Server(empty) as server:
            assert ask(call, server.url, method, "wf_2", *args) is None
    with Server(json_answer(single(2))) as server:
        assert ask(call, server.url, method, "wf_2", *args).revision_id == "rev_2"


def test_a_revision_that_an_earlier_attempt_may_have_deleted(call: Caller) -> None:
    with (
        Server([answer(503), json_answer({"detail": "no such"}, 404)]) as server,
        pytest.raises(NotFoundError, match="an earlier attempt of this call may have deleted it"),
    ):
        ask(call, server.url, "delete_revision", "wf", "rev")
    with Server(json_answer({"detail": "Revision deleted"})) as server:
        assert ask(call, server.url, "delete_revision", "wf", "rev") == "Revision deleted"


def test_environments_say_what_runs(call: Caller) -> None:
    told = [
        *three(LATEST, runs("rev_2", traffic=100), {**LATEST, "revision_id": "rev_3"}),
        environment("shared", runs("rev_1", traffic=90), {**LATEST, "traffic": 10}),
        environment("none"),
    ]
    with Server(json_answer({"data": told})) as server:
        development, staging, production, shared, none = ask(call, server.url, "environments", "wf")
    assert isinstance(staging, WorkflowEnvironment)
    assert (staging.id, staging.name, staging.description) == ("env_staging", "staging", "About staging")
    assert (staging.revision_id, staging.follows_latest, staging.deployments[0].traffic) == ("rev_2", False, 100)
    # A revision beside `latest` is the one of this moment.
    for each in (development, production):
        assert (each.revision_id, each.follows_latest) == (None, True)
    assert (shared.revision_id, shared.follows_latest) == (None, True)
    assert [each.revision_id for each in shared.deployments] == ["rev_1", None]
    assert (none.revision_id, none.follows_latest, none.deployments) == (None, False, ())
    assert [each.raw for each in (development, staging, production, shared, none)] == told


def test_reading_an_environment_is_lenient(call: Caller) -> None:
    told = {
        "environment_id": "e",
        "environment_config": {"name": "staging", "description": None},
        "created_at": 5,
        "deployments": [
            {"deployment_config": {"revision_id": "rev_1"}},
            {"deployment_config": {"revision_lookup": "tag", "revision_id": "rev_2", "traffic": True}},
        ],
    }
    with Server(json_answer({"data": [told]})) as server:
        (found,) = ask(call, server.url, "environments", "wf")
    assert (found.description, found.created_at, found.last_updated_at) == ("", None, None)
    # Nobody knows what a new way of looking up finds.
    assert [(each.revision_id, each.follows_latest) for each in found.deployments] == [("rev_1", False), (None, False)]
    assert found.deployments[1].traffic is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, r"no list of environments \(data\)"),
        ({"data": {}}, r"no list of environments \(data\)"),
        ({"data": [5]}, r"data\[0\] is no environment: it is no object"),
        ({"data": [{}]}, r"data\[0\] is no .*: it lacks environment_id and environment_config.name and deployments"),
        ({"data": [environment("a"), environment("b", deployments=None)]}, r"data\[1\] is no .*: it lacks deployments"),
        ({"data": [environment("a", deployments=[5])]}, r"data\[0\].deployments\[0\] .* lacks deployment_config"),
        ({"data": [environment("a", deployments=[{}])]}, r"data\[0\].deployments\[0\] .* lacks deployment_config"),
    ],
)
def test_an_answer_that_is_no_list_of_environments(body: Any, said: str, call: Caller) -> None:
    with Server(json_answer(body)) as server, pytest.raises(APIResponseError, match=said):
        ask(call, server.url, "environments", "wf")


def test_a_page_of_another_server(call: Caller) -> None:
    for method in ("environments", "revisions"):
        with Server(html("<title>Welcome</title>")) as server, pytest.raises(APIResponseError, match="Welcome"):
            ask(call, server.url, method, "wf")


# --- Set an environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "deployment"), [({"revision_id": "rev_7"}, runs("rev_7")), ({"latest": True}, LATEST)]
)
@pytest.mark.parametrize("name", ["staging", "env_staging", "STAGING"])
def test_one_environment_is_set(name: str, options: Any, deployment: Json, call: Caller) -> None:
    with Server([ENVIRONMENTS, DONE]) as server:
        assert ask(call, server.url, "set_environment", "wf_2", name, **options) is None
    assert script_of(server) == [
        "GET /v2/workflows/wf_2/environments",
        "PUT /v2/workflows/wf_2/environments/env_staging",
    ]
    assert server.requests[1].json() == {
        "name": "staging",
        "description": "About staging",
        "deployments": [deployment],
    }


def test_a_description_that_is_null_is_sent_as_empty(call: Caller) -> None:
    told = environment("staging", environment_config={"name": "staging", "description": None})
    with Server([json_answer({"data": [told]}), json_answer({})]) as server:
        ask(call, server.url, "set_environment", "wf", "staging", latest=True)
    assert server.requests[1].json() == {"name": "staging", "description": "", "deployments": [LATEST]}


def test_an_environment_of_a_workflow_with_a_key(call: Caller) -> None:
    found = json_answer(page(stored(2, workflow_key="mine")))
    with Server([found, ENVIRONMENTS, DONE]) as server:
        ask(
            call, server.url, "set_environment", "key:mine", "production",
            latest=True, extra_query={"a": "b"}, extra_body={"c": 1}, extra_headers={"x-a": "d"},
        )  # fmt: skip
    assert script_of(server) == [
        "GET /v2/workflows",
        "GET /v2/workflows/wf_2/environments",
        "PUT /v2/workflows/wf_2/environments/env_production",
    ]
    assert [request.query for request in server.requests] == [{"query": "mine"}, {}, {"a": "b"}]
    assert [request.headers["x-a"] for request in server.requests] == ["d"] * 3
    assert server.requests[2].json()["c"] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("staging", {}, "give either revision_id= or latest=True to say what the environment runs$"),
        ("staging", {"revision_id": "rev", "latest": True}, "not both"),
        ("staging", {"revision_id": ""}, "revision_id must be"),
        ("staging", {"revision_id": 5}, "revision_id must be"),
        ("", {"latest": True}, "environment must not be empty"),
        (None, {"latest": True}, "environment must be text, not NoneType"),
        ("Console", {"latest": True}, "always the newest saved state .* one of production, staging, development"),
        ("staging", {"latest": True, "timeout": -1}, "timeout"),
        ("staging", {"latest": True, "extra_query": 5}, "extra_query"),
        ("staging", {"latest": True, "extra_body": 5}, "extra_body"),
    ],
)
def test_a_bad_argument_sends_nothing(name: Any, options: Any, said: str, call: Caller) -> None:
    with Server([ENVIRONMENTS, DONE]) as server, pytest.raises(ConfigurationError, match=said):
        ask(call, server.url, "set_environment", "key:mine", name, **options)
    assert server.hits == 0


def test_a_name_is_compared_to_the_letter_first(call: Caller) -> None:
    told = [environment("Staging", environment_id="e1"), environment("staging", environment_id="e2")]
    with Server([json_answer({"data": told}), DONE]) as server:
        ask(call, server.url, "set_environment", "wf", "staging", latest=True)
    assert server.requests[1].path.endswith("/e2")
    with Server([json_answer({"data": told}), DONE]) as server, pytest.raises(ConfigurationError, match="'e1', 'e2'"):
        ask(call, server.url, "set_environment", "wf", "STAGING", latest=True)
    assert server.hits == 1


def test_an_environment_that_is_not_there(call: Caller) -> None:
    with Server([ENVIRONMENTS, DONE]) as server, pytest.raises(NotFoundError) as raised:
        ask(call, server.url, "set_environment", "wf", "prod", latest=True)
    assert raised.value.message == (
        "the workflow has no environment 'prod'; there are 'development', 'staging', 'production'"
    )
    assert (raised.value.status, raised.value.run_may_have_started, server.hits) == (404, False, 1)
    with Server(json_answer({"data": []})) as server, pytest.raises(NotFoundError, match="there are none at all"):
        ask(call, server.url, "set_environment", "wf", "prod", latest=True)


def test_a_server_that_did_not_do_it(call: Caller) -> None:
    with Server([ENVIRONMENTS, json_answer({"success": False})]) as server, pytest.raises(APIResponseError) as raised:
        ask(call, server.url, "set_environment", "wf_2", "staging", revision_id="rev_7")
    assert raised.value.message == (
        "the server says that this was not done (success: false): "
        "that the environment 'staging' of the workflow 'wf_2' runs rev_7"
    )
    assert (raised.value.run_may_have_started, server.hits) == (False, 2)


def test_setting_is_repeated(call: Caller) -> None:
    with Server([answer(503), ENVIRONMENTS, close_unanswered, DONE]) as server:
        ask(call, server.url, "set_environment", "wf_2", "staging", latest=True)
    assert server.hits == 4
    with Server([ENVIRONMENTS, answer(500)]) as server, pytest.raises(APIStatusError) as raised:
        ask(call, server.url, "set_environment", "wf_2", "staging", latest=True, retries=0)
    assert "the environment 'staging' may have been changed" in str(raised.value)
    assert raised.value.run_may_have_started is False


def test_the_deadline_is_for_all_of_its_requests(call: Caller) -> None:
    with Server([ENVIRONMENTS, silent()]) as server, pytest.raises(APITimeoutError):
        ask(call, server.url, "set_environment", "wf_2", "staging", latest=True, deadline=0.4)
    assert server.hits == 2

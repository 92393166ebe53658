"""Revisions and environments of stored workflows, in both clients: what is sent, read, and changed by a deployment."""

import json
from typing import Any

import pytest
from servers import (
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
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    ConflictError,
    Environment,
    NotFoundError,
    ScoutError,
    StoredWorkflow,
    WorkflowEnvironment,
)
from scout._answers import Answer, read_environments

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


@pytest.mark.parametrize("method", CALLS)
def test_it_is_repeated(method: str, call: Caller) -> None:
    _, args, options, _, good, _ = CALLS[method]
    with Server([answer(503), close_unanswered, half_body(b'{"data": []}'), good]) as server:
        ask(call, server.url, method, "wf_2", *args, **options, retries=3)
    assert len(set(script_of(server))) == 1
    assert server.hits == 4


@pytest.mark.parametrize("method", CALLS)
def test_an_error_says_what_may_have_been_done(method: str, call: Caller) -> None:
    _, args, options, _, _, outcome = CALLS[method]
    with Server(answer(503)) as server, pytest.raises(APIStatusError) as raised:
        ask(call, server.url, method, "wf_2", *args, **options, retries=1)
    assert server.hits == 2
    assert outcome in str(raised.value)
    assert ("may have been" in str(raised.value)) is bool(outcome)
    assert raised.value.run_may_have_started is False


@pytest.mark.parametrize("method", ["rename_revision", "delete_revision", "promote"])
def test_a_revision_is_one_segment_of_text(method: str, call: Caller) -> None:
    _, args, options, _, good, _ = CALLS[method]
    with Server(good) as server:
        for bad in ("", ".", "..", None, 5, b"rev", {"a": 1}):
            with pytest.raises(ConfigurationError, match=r"^revision_id must "):
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
    assert (found.is_pinned, found.follows_latest, found.running("rev_1")) == (False, False, None)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, r"no list of environments \(data\)"),
        ({"data": {}}, r"no list of environments \(data\)"),
        ({"data": [5]}, r"data\[0\] is not an environment: it is not an object"),
        (
            {"data": [{}]},
            r"data\[0\] is not an environment: it lacks environment_id and environment_config.name and deployments",
        ),
        (
            {"data": [environment("a"), environment("b", deployments=None)]},
            r"data\[1\] is not an environment: it lacks deployments",
        ),
        ({"data": [environment("a", deployments=[5])]}, r"data\[0\].deployments\[0\] .* lacks deployment_config"),
        ({"data": [environment("a", deployments=[{}])]}, r"data\[0\].deployments\[0\] .* lacks deployment_config"),
    ],
)
def test_an_answer_that_is_no_list_of_environments(body: Any, said: str) -> None:
    with pytest.raises(APIResponseError, match=said):
        read_environments(Answer(200, {}, json.dumps(body).encode()))


def test_a_page_of_another_server(call: Caller) -> None:
    for method in ("environments", "revisions"):
        with Server(html("<title>Welcome</title>")) as server, pytest.raises(APIResponseError, match="Welcome"):
            ask(call, server.url, method, "wf")


# --- Set an environment -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "deployment"),
    [
        ("staging", {"revision_id": "rev_7"}, runs("rev_7")),
        ("env_staging", {"latest": True}, LATEST),
        ("STAGING", {"latest": True}, LATEST),
    ],
)
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
        "the server answered that it did not do what was asked (success: false): "
        "to run rev_7 in the environment 'staging' of the workflow 'wf_2'"
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


# --- Deploy to one environment ------------------------------------------------------------------------------------

NEW: Json = {"tags": ["new"]}


class Backend:
    """A server with one stored workflow. Every revision of it is made by a deployment, and `latest` is the last one.

    Attributes:
        revisions: The revisions, in the order in which they were made.
        draft: The newest saved state, when it is a draft.
        lists_drafts: Whether it is among the revisions.
        environments: The environments, as they are listed.
        broken: What happens to the request with this number, from 0, instead of an answer: before it is carried out
            (`False`) or after that (`True`).
    """

    def __init__(self, *configs: Json, environments: list[Json] | None = None) -> None:
        self.revisions: list[Json] = []
        for config in configs:
            self.add(config)
        self.draft: Json | None = None
        self.lists_drafts = True
        self.environments = three(LATEST, LATEST, LATEST) if environments is None else environments
        self.broken: dict[int, bool] = {}
        self.lines: list[str] = []

    def add(self, config: Json) -> Json:
        number = len(self.revisions) + 1
        made = stored(2, config, workflow_key="mine", revision_id=f"rev_{number}", is_draft=False)
        self.revisions.append({**made, "created_at": f"2026-01-0{number}T00:00:00Z"})
        return self.revisions[-1]

    @property
    def newest(self) -> Json:
        return self.revisions[-1]

    def live(self) -> dict[str, list[tuple[str, Any]]]:
        """What runs in each environment, with its share of the traffic."""
        return {
            each["environment_config"]["name"]: [
                (self.newest["revision_id"] if config["revision_lookup"] == "latest" else config["revision_id"],
                 config.get("traffic"))
                for config in (deployment["deployment_config"] for deployment in each["deployments"])
            ]
            for each in self.environments
        }  # fmt: skip

    def __call__(self, request: Received) -> Behaviour:
        number = len(self.lines)
        self.lines.append(f"{request.method} {request.path}")
        if self.broken.get(number) is False:
            return answer(500)
        good = json_answer(*self.answer(request))
        return close_unanswered if number in self.broken else good

    def answer(self, request: Received) -> tuple[Any, int]:
        match request.method, request.path.removeprefix("/v2/workflows").split("/")[1:]:
            case "GET", []:
                return page(*([self.draft or self.newest] if self.revisions else [])), 200
            case "POST", []:
                if self.revisions:
                    return {"detail": "the key is taken"}, 409
                return {"data": self.add(request.json())}, 200  # type: ignore[arg-type]
            case "POST", ["revisions"]:
                return {"data": self.add(request.json())}, 200  # type: ignore[arg-type]
            case "GET", ["wf_2"]:
                return {"data": self.draft or self.newest}, 200
            case "GET", ["wf_2", "revisions"]:
                drafts = [self.draft] if self.draft and self.lists_drafts else []
                return {"data": [*drafts, *self.revisions]}, 200
            case "GET", ["wf_2", "environments"]:
                return {"data": self.environments}, 200
            case "PUT", ["wf_2", "environments", environment_id]:
                (found,) = (each for each in self.environments if each["environment_id"] == environment_id)
                body: Any = request.json()
                assert body["name"] == found["environment_config"]["name"]
                assert body["description"] == found["environment_config"]["description"]
                found["deployments"] = [{"deployment_config": each} for each in body["deployments"]]
                return {"success": True}, 200
        raise AssertionError(f"not expected: {request.method} {request.target}")


def deploy(call: Caller, backend: Backend, workflow: Any = NEW, environment: Any = "staging", **options: Any) -> Any:
    """Deploy, and check that no other environment runs anything else than before, whatever happens."""
    before = backend.live() if backend.revisions else {}
    backend.lines.clear()
    try:
        with Server(route(backend)) as server:
            return ask(call, server.url, "deploy", workflow, key="mine", environment=environment, **options)
    finally:
        after = backend.live() if backend.revisions else {}
        chosen = str(environment).lower()
        assert [after[name] for name in before if name != chosen] == [before[name] for name in before if name != chosen]


CREATE, LIST, REVISE = "POST /v2/workflows", "GET /v2/workflows", "POST /v2/workflows/revisions"
ENVS, REVS = "GET /v2/workflows/wf_2/environments", "GET /v2/workflows/wf_2/revisions"


def put(name: str) -> str:
    return f"PUT /v2/workflows/wf_2/environments/env_{name}"


@pytest.mark.parametrize("name", ["staging", "Staging", Environment.STAGING])
def test_a_new_revision_runs_there_and_nowhere_else(name: Any, call: Caller) -> None:
    backend = Backend(WORKFLOW)
    done = deploy(call, backend, environment=name)
    assert (done.created, done.changed, done.revision_id) == (False, True, "rev_2")
    assert (done.environment, done.pinned) == ("staging", ("development", "production"))
    assert backend.live() == {
        "development": [("rev_1", None)],
        "staging": [("rev_2", None)],
        "production": [("rev_1", None)],
    }
    assert backend.lines == [CREATE, LIST, ENVS, put("development"), put("production"), REVISE, ENVS, put("staging")]
    # From now on nothing has to be pinned.
    again = deploy(call, backend, {"tags": ["newer"]}, "production")
    assert (again.environment, again.pinned, again.revision_id) == ("production", (), "rev_3")
    assert backend.live()["production"] == [("rev_3", None)]
    assert backend.lines == [CREATE, LIST, ENVS, REVS, REVISE, ENVS, put("production")]


def test_what_runs_there_already_is_left_alone(call: Caller) -> None:
    backend = Backend(WORKFLOW, NEW, environments=three(LATEST, LATEST, runs("rev_1")))
    done = deploy(call, backend)
    assert (done.changed, done.environment, done.pinned, done.revision_id) == (False, "staging", (), "rev_2")
    assert backend.lines == [CREATE, LIST, ENVS]
    # The same config in another environment: the revision is there, and only has to be set.
    done = deploy(call, backend, environment="production")
    assert (done.changed, done.environment, done.pinned, done.revision_id) == (True, "production", (), "rev_2")
    assert backend.lines == [CREATE, LIST, ENVS, REVS, put("production")]
    assert len(backend.revisions) == 2
    assert deploy(call, backend, environment="production").changed is False


def test_by_force_the_same_becomes_a_revision(call: Caller) -> None:
    backend = Backend(WORKFLOW, NEW)
    done = deploy(call, backend, force=True)
    assert (done.changed, done.revision_id, done.pinned) == (True, "rev_3", ("development", "production"))


def test_a_key_that_two_workflows_have_changes_nothing(call: Caller) -> None:
    both = page(*(stored(number, WORKFLOW, workflow_key="mine") for number in (1, 2)))
    said = "2 workflows have the key 'mine': 'wf_1', 'wf_2'"
    with Server([json_answer({}, 409), json_answer(both)]) as server, pytest.raises(ConfigurationError, match=said):
        ask(call, server.url, "deploy", NEW, key="mine", environment="staging")
    assert script_of(server) == [CREATE, LIST]


def test_a_new_workflow(call: Caller) -> None:
    backend = Backend()
    done = deploy(call, backend)
    assert (done.created, done.changed, done.environment, done.pinned) == (True, True, "staging", ())
    assert backend.lines == [CREATE, ENVS, put("staging")]
    assert backend.environments[1]["deployments"] == [{"deployment_config": runs("rev_1")}]


def test_shared_traffic_is_kept(call: Caller) -> None:
    shared = environment(
        "production", runs("rev_1", traffic=90), {**LATEST, "traffic": 10, "revision_id": None, "color": "red"}
    )
    backend = Backend(
        WORKFLOW, WORKFLOW, environments=[environment("staging", LATEST, runs("rev_1", traffic=5)), shared]
    )
    done = deploy(call, backend)
    assert done.pinned == ("production",)
    assert [each["deployment_config"] for each in shared["deployments"]] == [
        runs("rev_1", traffic=90),
        runs("rev_2", traffic=10, color="red"),
    ]
    assert backend.live()["staging"] == [("rev_3", None)]


def test_an_environment_that_shares_its_traffic_does_not_run_one_revision(call: Caller) -> None:
    both = environment("staging", runs("rev_2", traffic=50), {**LATEST, "traffic": 50})
    backend = Backend(WORKFLOW, NEW, environments=[both])
    assert deploy(call, backend).changed is True
    assert backend.live() == {"staging": [("rev_2", None)]}


def test_an_environment_that_runs_nothing_is_left_alone(call: Caller) -> None:
    backend = Backend(WORKFLOW, environments=[environment("staging", LATEST), environment("production")])
    assert deploy(call, backend).pinned == ()
    assert backend.live() == {"staging": [("rev_2", None)], "production": []}


def test_of_a_draft_the_newest_revision_is_looked_for(call: Caller) -> None:
    backend = Backend(WORKFLOW, WORKFLOW, WORKFLOW)
    backend.draft = {**backend.newest, "revision_id": "draft", "is_draft": True, "created_at": "2026-02-01T00:00:00Z"}
    backend.revisions[0]["last_updated_at"] = "2026-03-01T00:00:00Z"  # somebody has given it a name
    done = deploy(call, backend)
    assert done.pinned == ("development", "production")
    assert backend.live()["production"] == [("rev_3", None)]
    assert backend.lines[:4] == [CREATE, LIST, ENVS, REVS]


def test_a_draft_counts_only_when_something_has_to_be_pinned(call: Caller) -> None:
    backend = Backend(WORKFLOW, WORKFLOW, environments=three(runs("rev_1"), runs("rev_1"), runs("rev_2")))
    backend.draft = {**backend.newest, "revision_id": "draft", "is_draft": True}
    assert deploy(call, backend, force=True).pinned == ()
    assert REVS not in backend.lines


@pytest.mark.parametrize(
    ("staging", "is_draft", "revision_id"),
    [
        (runs("rev_1"), False, "rev_1"),  # the newest one is another
        (runs("rev_1"), True, "rev_1"),
        (LATEST, True, "rev_3"),
    ],
)
def test_what_the_environment_runs_is_not_stored_again(
    staging: Json, is_draft: bool, revision_id: str, call: Caller
) -> None:
    backend = Backend(
        NEW, WORKFLOW, NEW if staging is LATEST else WORKFLOW, environments=three(LATEST, staging, LATEST)
    )
    if is_draft:
        backend.draft = {**backend.newest, "revision_id": "draft", "is_draft": True}
    done = deploy(call, backend)
    assert (done.changed, done.revision_id, done.environment, done.pinned) == (False, revision_id, "staging", ())
    assert backend.lines == [CREATE, LIST, ENVS, REVS]
    again = deploy(call, backend, force=True)
    assert (again.changed, again.revision_id) == (True, "rev_4")


@pytest.mark.parametrize(
    "more",
    [
        [{"created_at": "2026-01-01T00:00:00Z"}, {"created_at": "2026-01-01T00:00:00Z"}],  # that of the workflow
        [{"created_at": None}, {}],
        [{}, {"created_at": "yesterday"}],
        [{"is_draft": None}, {}],
        [{}, {"is_draft": None}],
        [{"is_draft": True}, {"is_draft": True}],
    ],
)
def test_a_newest_revision_that_is_not_certain_changes_nothing(more: list[Json], call: Caller) -> None:
    backend = Backend(WORKFLOW, WORKFLOW)
    for revision, each in zip(backend.revisions, more, strict=True):
        revision |= each
    backend.draft = {**backend.newest, "revision_id": "draft", "is_draft": True}
    with pytest.raises(APIResponseError) as raised:
        deploy(call, backend)
    assert raised.value.message == (
        "the server does not tell which revision is the newest one that is deployed, so nothing was changed; set what "
        "runs in 'development' and 'production' with set_environment(revision_id=...), and deploy again"
    )
    assert raised.value.run_may_have_started is False
    assert backend.lines == [CREATE, LIST, ENVS, REVS]


def test_a_state_that_may_be_a_draft_is_not_pinned(call: Caller) -> None:
    backend = Backend(WORKFLOW)
    backend.lists_drafts = False
    backend.draft = {**backend.newest, "revision_id": "draft", "is_draft": None}
    assert deploy(call, backend).pinned == ("development", "production")
    assert backend.live()["production"] == [("rev_1", None)]


def test_a_way_of_looking_up_that_is_not_known_changes_nothing(call: Caller) -> None:
    tagged = {"revision_lookup": "tag", "revision_id": "rev_1"}
    backend = Backend(WORKFLOW, environments=three(LATEST, LATEST, tagged))
    with pytest.raises(APIResponseError, match="whether a new revision would run in the environment 'production'"):
        deploy(call, backend)
    assert backend.lines == [CREATE, LIST, ENVS]
    assert deploy(call, backend, environment="production").pinned == ("development", "staging")


def test_an_environment_that_the_workflow_does_not_have_changes_nothing(call: Caller) -> None:
    backend = Backend(WORKFLOW, environments=[environment("production", LATEST)])
    with pytest.raises(NotFoundError, match="no environment 'staging'; there are 'production'") as raised:
        deploy(call, backend)
    assert raised.value.run_may_have_started is False
    assert backend.lines == [CREATE, LIST, ENVS]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("console", "environment must not be 'console', which is always the newest saved state of a workflow"),
        (Environment.CONSOLE, "environment must not be 'console'"),
        ("prod", "environment is 'prod', which is none of production, staging, development"),
        ("", "environment must not be empty"),
        (5, "environment must be text, not int"),
    ],
)
def test_a_bad_environment_sends_nothing(name: Any, said: str, call: Caller) -> None:
    with Server(json_answer({})) as server, pytest.raises(ConfigurationError, match=said):
        ask(call, server.url, "deploy", NEW, key="mine", environment=name)
    assert server.hits == 0


def test_the_environment_of_the_client_does_not_count(call: Caller) -> None:
    backend = Backend(WORKFLOW)
    with Server(route(backend)) as server:
        done = ask(call, server.url, "deploy", NEW, key="mine", client={"environment": "staging"})
    assert (done.environment, done.pinned, backend.lines) == (None, (), [CREATE, LIST, REVISE])


def test_options_go_to_all_requests(call: Caller) -> None:
    backend = Backend(WORKFLOW)
    with Server(route(backend)) as server:
        ask(
            call, server.url, "deploy", WORKFLOW, key="mine", environment="staging",
            extra_body={"tags": ["new"]}, extra_headers={"x-a": "b"},
        )  # fmt: skip
    assert {request.headers["x-a"] for request in server.requests} == {"b"}
    (revise,) = (request for request in server.requests if request.path == "/v2/workflows/revisions")
    assert revise.query == {"workflow_id": "wf_2"}  # the one whose environments were pinned
    assert backend.newest["workflow_config"] == {**WORKFLOW, "tags": ["new"]}


# --- ... and when it fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True], ids=["not carried out", "carried out and not answered"])
@pytest.mark.parametrize("step", range(8))
def test_after_a_failure_the_same_call_goes_on(step: int, done: bool, call: Caller) -> None:
    backend = Backend(WORKFLOW)
    backend.broken = {step: done}
    with pytest.raises(ScoutError) as raised:
        deploy(call, backend, retries=0)
    last = backend.lines[-1]
    assert len(backend.lines) == step + 1
    # Reads change nothing, a pinned environment runs what it ran; from the revision on something may be stored.
    assert raised.value.run_may_have_started is (step >= 5 or last == CREATE)
    said = raised.value.message
    assert ("before that, what follows the newest revision was pinned in 'development'" in said) is (step >= 4)
    assert ("pinned in 'development' and 'production'" in said) is (step >= 5)
    stored_and_known = (
        "the revision 'rev_2' of the workflow 'wf_2' is stored; set_environment makes it run in 'staging'"
    )
    assert (stored_and_known in said) is (step >= 6)
    backend.broken = {}
    deploy(call, backend)
    assert backend.live() == {
        "development": [("rev_1", None)],
        "staging": [("rev_2", None)],
        "production": [("rev_1", None)],
    }


@pytest.mark.parametrize("step", [1, 2])
def test_a_failure_after_a_workflow_was_created(step: int, call: Caller) -> None:
    backend = Backend()
    backend.broken = {step: False}
    with pytest.raises(APIStatusError, match="the revision 'rev_1' of the workflow 'wf_2' is stored") as raised:
        deploy(call, backend, retries=0)
    assert raised.value.run_may_have_started is True
    backend.broken = {}
    assert deploy(call, backend).revision_id == "rev_1"


def test_transient_failures_are_repeated_except_for_the_revision(call: Caller) -> None:
    for step in (1, 2, 3, 4, 6, 7):
        backend = Backend(WORKFLOW)
        backend.broken = {step: True}
        assert deploy(call, backend).revision_id == "rev_2"
        assert backend.lines.count(REVISE) == 1


def test_a_workflow_that_is_deleted_between_its_calls_is_created_anew(call: Caller) -> None:
    backend = Backend(WORKFLOW)

    def choose(request: Received) -> Behaviour:
        if (request.method, request.path) == ("POST", "/v2/workflows/revisions"):
            backend.__init__()  # type: ignore[misc]
            return json_answer({"detail": "no such workflow"}, 404)
        return backend(request)

    with Server(route(choose)) as server:
        done = ask(call, server.url, "deploy", NEW, key="mine", environment="staging")
    assert (done.created, done.pinned, done.revision_id) == (True, (), "rev_1")


def test_a_conflict_without_a_workflow_is_raised(call: Caller) -> None:
    taken = json_answer({"detail": "the organisation is locked"}, 409)
    with (
        Server([taken, json_answer(page()), json_answer(page())] * 2) as server,
        pytest.raises(ConflictError, match=r"locked; .*'mine': no workflow has the key 'mine'") as raised,
    ):
        ask(call, server.url, "deploy", NEW, key="mine", environment="staging")
    assert raised.value.run_may_have_started is False
    assert REVISE not in script_of(server)


def test_the_deadline_of_a_deployment_is_for_all_of_its_requests(call: Caller) -> None:
    backend = Backend(WORKFLOW)

    def choose(request: Received) -> Behaviour:
        return silent() if request.method == "PUT" else backend(request)

    with Server(route(choose)) as server, pytest.raises(APITimeoutError, match="deadline"):
        ask(call, server.url, "deploy", NEW, key="mine", environment="staging", deadline=0.4)
    assert script_of(server)[-1] == put("development")

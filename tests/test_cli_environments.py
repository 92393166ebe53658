"""`scout deploy --to`, and the actions of `scout workflows` for revisions and environments."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import Done, run_here, run_on_a_terminal
from servers import Behaviour, Received, Server, close_unanswered, json_answer, route
from test_cli_exits import ctrl_c
from test_workflows_revisions import Backend

from scout import Scout
from scout.local import Fault, LocalScout

KEY = "secret_planted_key"
BLOCK = {"block_id": "a", "block_display_name": "A", "block_archetype_id": "com.scoutos.text", "is_output": True}
OTHERS = ("development", "production")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def client(server: LocalScout) -> Iterator[Scout]:
    server.reset()
    with Scout(KEY, base_url=server.url, retries=0) as client:
        yield client


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write(tmp_path / "k.json", "new")


def config_of(text: str) -> dict[str, Any]:
    return {"blocks": [{**BLOCK, "block_inputs": {"text": text}}]}


def write(path: Path, text: str) -> Path:
    path.write_text(json.dumps(config_of(text)))
    return path


def pinned(client: Scout, key: str = "k") -> tuple[str, str]:
    """Store a workflow whose first revision all environments are pinned to. Return its id, and that of the revision."""
    made = client.workflows.create(config_of("old"), key=key)
    for name in (*OTHERS, "staging"):
        client.workflows.set_environment(made.id, name, revision_id=made.revision_id)
    return made.id, made.revision_id


def runs(client: Scout, key: str = "k") -> dict[str, str | None]:
    return {each.name: each.revision_id for each in client.workflows.environments(f"key:{key}")}


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}


def scout(*args: object, url: str) -> Done:
    done = run_here(*args, env=environment(url))
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def deploy(*args: object, url: str) -> Done:
    return scout("deploy", *args, url=url)


def changes(server: LocalScout) -> list[str]:
    return [f"{each.method} {each.path}" for each in server.requests if each.method != "GET"]


Asked = Callable[..., Done]


@pytest.fixture
def asked(server: LocalScout) -> Asked:
    return partial(run_on_a_terminal, env=environment(server.url))


# --- Deploying to an environment --------------------------------------------------------------------------------------


def test_a_new_revision_runs_there_and_nowhere_else(client: Scout, server: LocalScout, file: Path) -> None:
    workflow_id, old = pinned(client)
    before = len(changes(server))
    planned = deploy("k.json", "--to", "staging", "--dry-run", url=server.url)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert planned.stdout == (
        f"~ revise k ({workflow_id}) from k.json\n"
        '    block a "A"\n'
        '      ~ block_inputs.text: "old" -> "new"\n'
        f"    staging: {old} -> this file\n"
        f"    development stays at {old}\n"
        f"    production stays at {old}\n"
        "0 to create, 1 to revise, 0 to set, 0 unchanged\n"
    )
    assert len(changes(server)) == before

    done = deploy("k.json", "--to", "staging", "--yes", url=server.url)
    new = client.workflows.get(workflow_id).revision_id
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{planned.stdout}revised k: {workflow_id}, revision {new}; staging runs it\n1 revised\n"
    assert runs(client) == {"development": old, "staging": new, "production": old}
    assert [client.workflows.execute("key:k", environment=name).output for name in ("staging", "production")] == [
        "new",
        "old",
    ]
    assert [line.partition(" ")[0] for line in changes(server)[before:]][:2] == ["POST", "PUT"]


def test_an_environment_that_follows_the_newest_revision_is_pinned_first(
    client: Scout, server: LocalScout, file: Path
) -> None:
    made = client.workflows.create(config_of("old"), key="k")
    done = deploy("k.json", "--to", "staging", "--yes", url=server.url)

    new = client.workflows.get(made.id).revision_id
    assert f"    staging: the newest revision, now {made.revision_id} -> this file\n" in done.stdout
    pin = f"follows the newest revision; it is pinned to {made.revision_id}, which it runs now\n"
    assert f"    development {pin}    production {pin}" in done.stdout
    assert runs(client) == {"development": made.revision_id, "staging": new, "production": made.revision_id}
    assert [line.partition(" ")[0] for line in changes(server)] == ["POST", "PUT", "PUT", "POST", "PUT"]


def test_what_is_a_draft_is_not_what_the_others_are_pinned_to(client: Scout, server: LocalScout, file: Path) -> None:
    made = client.workflows.create(config_of("old"), key="k")
    client.workflows.update(made.id, config_of("new"))
    done = deploy("k.json", "--to", "staging", "--yes", url=server.url)

    assert done.returncode == 0, done.stderr
    assert "    the newest state is a draft, which is not deployed\n" in done.stdout
    assert {name: runs(client)[name] for name in OTHERS} == dict.fromkeys(OTHERS, made.revision_id)
    assert client.workflows.execute("key:k", environment="staging").output == "new"


def test_a_revision_that_is_stored_already_is_only_set(client: Scout, server: LocalScout, file: Path) -> None:
    workflow_id, old = pinned(client)
    stored = client.workflows.create_revision(config_of("new"), id=workflow_id).revision_id
    before = len(changes(server))
    done = deploy("k.json", "--to", "staging", "--yes", url=server.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"~ set k ({workflow_id}) from k.json\n" in done.stdout
    assert '"old" -> "new"\n' in done.stdout
    assert f"    staging: {old} -> {stored} (stored already)\n" in done.stdout
    assert done.stdout.endswith(
        "0 to create, 0 to revise, 1 to set, 0 unchanged\n"
        f"set k: {workflow_id}, revision {stored}; staging runs it\n1 set\n"
    )
    assert len(changes(server)) == before + 1
    assert runs(client)["staging"] == stored

    done = deploy("k.json", "--to", "staging", "--dry-run", "--exit-code", url=server.url)
    assert done.returncode == 0
    assert f"    staging runs it already: {stored}\n0 to create, 0 to revise, 0 to set, 1 unchanged\n" in done.stdout


def test_what_the_environment_runs_already_is_unchanged(client: Scout, server: LocalScout, file: Path) -> None:
    """Also when the newest revision is another one, which somebody has deployed elsewhere."""
    workflow_id, old = pinned(client)
    write(file, "old")
    client.workflows.create_revision(config_of("elsewhere"), id=workflow_id)
    found = deploy("k.json", "--to", "staging", "--yes", "--json", url=server.url)
    (step,) = json.loads(found.stdout)["workflows"]
    assert (step["action"], step["outcome"]) == ("unchanged", "unchanged")

    found = deploy("k.json", "--to", "staging", "--yes", "--force", url=server.url)
    assert found.stdout.endswith("1 revised\n")
    assert "it has not changed, and --force stores it again" in found.stdout
    assert runs(client)["staging"] not in (old, None)

    write(file, "new")
    client.workflows.set_environment(workflow_id, "staging", revision_id=old)
    found = deploy("k.json", "--to", "staging", "--dry-run", url=server.url)
    newest = client.workflows.get(workflow_id).revision_id
    note = f"staging does not run the newest revision, {newest}; scout diff shows the differences from that one"
    assert f"    {note}\n    block a" in found.stdout


def test_a_new_workflow_says_afterwards_what_runs_it(client: Scout, server: LocalScout, file: Path) -> None:
    done = deploy("k.json", "--to", "staging", "--yes", url=server.url)

    stored = client.workflows.get("key:k")
    assert (done.returncode, done.stderr) == (0, "")
    assert "    staging: this file\n    Scout decides what the other environments of a new workflow run" in done.stdout
    said = f"created k: {stored.id}, revision {stored.revision_id}; staging, development and production run it\n"
    assert said in done.stdout
    assert runs(client)["staging"] == stored.revision_id


def test_the_plan_as_json(client: Scout, server: LocalScout, file: Path) -> None:
    made = client.workflows.create(config_of("old"), key="k")
    client.workflows.set_environment(made.id, "development", revision_id=made.revision_id)
    plan = json.loads(deploy("k.json", "--to", "staging", "--dry-run", "--json", url=server.url).stdout)
    done = json.loads(deploy("k.json", "--to", "staging", "--yes", "--json", url=server.url).stdout)

    assert (plan["to"], plan["plan"]) == ("staging", {"create": 0, "revise": 1, "set": 0, "unchanged": 0})
    facts = {"revision_id": made.revision_id, "follows_latest": True}
    assert plan["workflows"][0]["environments"] == [
        {"name": "development", **facts, "follows_latest": False, "change": None},
        {"name": "staging", **facts, "change": "set"},
        {"name": "production", **facts, "change": "pinned"},
    ]
    assert done["workflows"][0]["environments"] == plan["workflows"][0]["environments"]
    assert done["workflows"][0]["warnings"] == [
        f"production is pinned to {made.revision_id}, and followed the newest revision before"
    ]
    assert done["workflows"][0]["outcome"] == "revised"


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("console", "'console' is none of production, staging, development"),
        ("stagin", "'stagin' is none of production, staging, development; did you mean staging?"),
        ("", "'' is none of"),
    ],
)
def test_an_environment_that_there_is_not(to: str, said: str, file: Path) -> None:
    with Server(json_answer({})) as server:
        done = deploy("k.json", "--to", to, "--yes", url=server.url)
    assert (done.returncode, done.stdout, server.hits) == (2, "", 0)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("environments", "said"),
    [
        ({"main": []}, "k has no environment staging; it has main"),
        ({}, "k has no environment staging; it has none"),
        (
            {"staging": [], "production": [("latest", 10), ("revision_id", 90)]},
            "k: production runs the newest revision, now r1 (traffic 10) and r1 (traffic 90), and may run a new rev",
        ),
        ({"staging": [], "production": [("tag", 100)]}, "k: production runs unknown, and may run a new revision at"),
        ({"Staging": [], "STAGING": [("latest", 100)]}, "k has no environment staging; it has Staging, STAGING"),
    ],
)
def test_environments_that_cannot_be_left_as_they_are(environments: dict[str, Any], said: str, file: Path) -> None:
    def choose(request: Received) -> Behaviour:
        if not request.path.endswith("/environments"):
            return json_answer({"data": [{"workflow_id": "wf_1", "workflow_key": "k", **REVISION}], "has_more": False})
        return json_answer({"data": [as_sent(*each) for each in environments.items()]})

    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--yes", url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_what_cannot_be_pinned_does_not_matter_when_nothing_is_stored(file: Path) -> None:
    environments = [as_sent("staging", [("revision_id", 100)]), as_sent("production", [("tag", 100)])]
    stored = {"workflow_id": "wf_1", "workflow_key": "k", **REVISION, "workflow_config": config_of("old")}

    def choose(request: Received) -> Behaviour:
        is_list = request.path == "/v2/workflows"
        return json_answer({"data": [stored], "has_more": False} if is_list else {"data": environments})

    write(file, "old")
    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--yes", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "    staging runs it already: r1\n0 to create, 0 to revise, 0 to set, 1 unchanged\n" in done.stdout


def test_differences_from_what_the_environment_does_not_run_are_said(file: Path) -> None:
    stored = {"workflow_id": "wf_1", "workflow_key": "k", **REVISION}

    def choose(request: Received) -> Behaviour:
        is_list = request.path == "/v2/workflows"
        two = [as_sent("staging", [("revision_id", 50), ("revision_id", 50)])]
        return json_answer({"data": [stored], "has_more": False} if is_list else {"data": two})

    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--dry-run", url=server.url)
    note = "these are the differences from the newest state, because staging runs no single revision that is known"
    assert done.returncode == 0
    assert f"\n    {note}\n" in done.stdout
    assert "    staging: r1 (traffic 50) and r1 (traffic 50) -> this file\n" in done.stdout


def test_two_environments_whose_names_differ_in_case(file: Path) -> None:
    environments = [as_sent("staging", [("revision_id", 100)]), as_sent("STAGING", [("latest", 100)])]

    def choose(request: Received) -> Behaviour:
        if request.method == "PUT":
            return json_answer({"success": True})
        if request.path.endswith("/environments"):
            return json_answer({"data": environments})
        stored = {"workflow_id": "wf_1", "workflow_key": "k", **REVISION}
        is_one = request.method == "POST" or request.path != "/v2/workflows"
        return json_answer({"data": stored} if is_one else {"data": [stored], "has_more": False})

    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--yes", url=server.url)
        sent = [request.path.rpartition("/")[2] for request in server.requests if request.method != "GET"]
    assert done.returncode == 0, done.stderr
    assert "STAGING follows the newest revision; it is pinned to r1, which it runs now" in done.stdout
    assert sent == ["env_STAGING", "revisions", "env_staging"]


REVISION = {"revision_id": "r1", "workflow_config": {}, "is_draft": False}


def as_sent(name: str, deployments: list[tuple[str, int]]) -> dict[str, Any]:
    return {
        "environment_id": f"env_{name}",
        "environment_config": {"name": name},
        "deployments": [
            {"deployment_config": {"revision_lookup": how, "revision_id": "r1", "traffic": traffic}}
            for how, traffic in deployments
        ],
    }


# --- What changes between the plan and its end, and failures ----------------------------------------------------------


def test_when_somebody_has_deployed_or_promoted_meanwhile(
    client: Scout, server: LocalScout, file: Path, asked: Asked
) -> None:
    ids = {key: pinned(client, key) for key in "abck"}
    for key in "abc":
        write(file.parent / f"{key}.json", "new")
    before: list[int] = []

    def somebody_else() -> str:
        client.workflows.create_revision(config_of("theirs"), id=ids["a"][0])
        other = client.workflows.create_revision(config_of("x"), id=ids["k"][0])
        client.workflows.set_environment(ids["b"][0], "production", latest=True)
        client.workflows.set_environment(ids["c"][0], "staging", latest=True)
        assert other.revision_id
        before.append(len(changes(server)))
        return "y\n"

    done = asked("deploy", ".", "--to", "staging", answer=somebody_else)

    assert f"scout: deploy 4 workflows to staging at {server.url}? [y/N]" in done.stderr
    assert done.returncode == 2
    assert re.search(
        r"a: wf_\w+ has been changed since the plan was made: it is revision rev_\w+ now; the f", done.stderr
    )
    for key, name in (("b", "production"), ("c", "staging")):
        now = f"{name} runs the newest revision, now {ids[key][1]}; nothing was sent; run the command again"
        assert f"scout: {key}: this has been changed since the plan was made: {now}" in done.stderr
    assert done.stdout.endswith("4 failed\n")
    assert len(changes(server)) == before[0]


def test_when_somebody_promotes_while_the_revision_is_stored(file: Path) -> None:
    stored = {"workflow_id": "wf_1", "workflow_key": "k", **REVISION}

    def choose(request: Received) -> Behaviour:
        is_stored = any(each.method == "POST" for each in server.requests)
        if request.method == "POST":
            return json_answer({"data": {**stored, "revision_id": "r2"}})
        if request.path.endswith("/environments"):
            theirs = as_sent("staging", [("latest" if is_stored else "revision_id", 100)])
            return json_answer({"data": [theirs]})
        is_list = request.path == "/v2/workflows"
        return json_answer({"data": [stored], "has_more": False} if is_list else {"data": stored})

    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--yes", "--json", url=server.url)
        sent = [each.method for each in server.requests if each.method != "GET"]

    (step,) = json.loads(done.stdout)["workflows"]
    assert (done.returncode, step["outcome"], step["revision_id"], sent) == (2, "stored", "r2", ["POST"])
    changed = "because staging has been changed since the plan was made: it runs the newest revision, now r2"
    assert f"scout: k: revision r2 is stored, and not set, {changed}; run the command again" in done.stderr


@pytest.mark.parametrize("status", [404, 500])
def test_an_environment_that_cannot_be_set_says_what_is_stored(
    status: int, client: Scout, server: LocalScout, file: Path
) -> None:
    workflow_id, old = pinned(client)
    write(file.parent / "l.json", "new")
    server.fail_next(Fault(status=status, match="revision_lookup"))
    done = deploy("k.json", "l.json", "--to", "staging", "--yes", "--json", "--retries", "0", url=server.url)

    stored = client.workflows.get("key:k").revision_id
    first, second = json.loads(done.stdout)["workflows"]
    assert (first["outcome"], first["revision_id"]) == ("unknown" if status == 500 else "stored", stored)
    assert second["outcome"] == ("not begun" if status == 500 else "created")
    assert done.returncode == (3 if status == 500 else 2)
    was_set = "it is not known whether staging was" if status == 500 else "staging was not"
    how = f"`scout workflows set-environment {workflow_id} staging {stored}` sets it"
    assert f"scout: k: revision {stored} is stored, and {was_set} set to it; {how}\n" in done.stderr
    assert runs(client)["staging"] == old


@pytest.mark.parametrize(
    ("match", "status", "warnings"),
    [
        ('"r1"', 500, ["it is not known whether production is pinned to REV, and followed the newest revision before"]),
        ('"r1"', 422, []),
        ('"new"', 422, ["production is pinned to REV, and followed the newest revision before"]),
    ],
)
def test_what_was_pinned_is_said_when_nothing_was_deployed(
    match: str, status: int, warnings: list[str], client: Scout, server: LocalScout, file: Path
) -> None:
    _, old = pinned(client)
    client.workflows.set_environment("key:k", "production", latest=True)
    server.fail_next(Fault(status=status, match=match.replace("r1", old)))
    done = deploy("k.json", "--to", "staging", "--yes", "--json", "--retries", "0", url=server.url)

    (step,) = json.loads(done.stdout)["workflows"]
    assert step["outcome"] == "failed"
    assert step["warnings"] == [each.replace("REV", old) for each in warnings]
    assert "scout: k was not deployed\n" in done.stderr
    assert all(f"scout: k: {each}\n" in done.stderr for each in step["warnings"])
    assert runs(client)["production"] == (old if match == '"new"' else None)
    assert client.workflows.get("key:k").revision_id == old


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("method", "outcome", "said"),
    [
        ("PUT", "unknown", "k: revision r1 is stored, and it is not known whether staging was set to it; `scout w"),
        ("GET", "stored", "k: revision r1 is stored, and staging was not set to it; `scout workflows set-environment"),
        ("POST", "unknown", "k: it is not known whether it was deployed; with --dry-run the command shows what is"),
    ],
)
def test_ctrl_c_says_what_was_done(method: str, outcome: str, said: str, file: Path) -> None:
    stored = {"workflow_id": "wf_1", "workflow_key": "k", **REVISION}

    def choose(request: Received) -> Behaviour:
        is_stored = any(each.method == "POST" for each in server.requests)
        if request.method == method and (is_stored or method != "GET"):
            return ctrl_c
        if request.path.endswith("/environments"):
            return json_answer({"data": [as_sent("staging", [("revision_id", 100)])]})
        is_list = request.path == "/v2/workflows"
        return json_answer({"data": [stored], "has_more": False} if is_list else {"data": stored})

    with Server(route(choose)) as server:
        done = deploy("k.json", "--to", "staging", "--yes", url=server.url)
    assert done.returncode == 130
    assert done.stdout.endswith(f"1 {outcome}\n")
    assert done.stderr.startswith(f"scout: interrupted; {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("failure", ["Ctrl-C", "closed", "success: false"])
def test_whatever_fails_the_others_run_what_they_ran_and_the_outcome_is_true(failure: str, file: Path) -> None:
    class Broken(Backend):
        """Carries each request out, and answers one of them in another way."""

        def __call__(self, request: Received) -> Behaviour:
            good = super().__call__(request)
            if len(self.lines) != number:
                return good
            return {"Ctrl-C": ctrl_c, "closed": close_unanswered}.get(failure, json_answer({"success": False}))

    write(file, "new")
    ended: set[str] = set()
    for number in range(1, 14):
        backend = Broken(config_of("old"))
        if failure == "success: false" and number not in (6, 8, 13):
            continue  # only changes of environments are answered so
        with Server(route(backend)) as server:
            done = deploy("k.json", "--key", "mine", *TO_STAGING, url=server.url)
        steps = json.loads(done.stdout).get("workflows") if done.stdout else None
        live, told = backend.live(), done.stderr
        assert (done.returncode, len(backend.lines) >= number) == (130 if failure == "Ctrl-C" else 3, True)
        assert (live["development"], live["production"]) == ([("rev_1", None)], [("rev_1", None)])
        outcome = steps[0]["outcome"] if steps and steps[0]["outcome"] else "no plan"
        ended.add(outcome)
        is_stored = len(backend.revisions) == 2
        assert is_stored is {"stored": True, "failed": False, "no plan": False}.get(outcome, is_stored)
        for name in ("development", "production"):
            (each,) = (each for each in backend.environments if each["environment_config"]["name"] == name)
            is_pinned = each["deployments"][0]["deployment_config"]["revision_lookup"] == "revision_id"
            assert not is_pinned or f"{name} is pinned to rev_1" in told
        with Server(route(backend)) as server:  # whose later requests have other numbers
            again = deploy("k.json", "--key", "mine", *TO_STAGING, url=server.url)
        assert again.returncode == 0, again.stderr
        assert backend.live()["staging"] == [("rev_2", None)]
        assert (len(backend.revisions), backend.live()["production"]) == (2, [("rev_1", None)])
    assert (
        ended
        == {
            "Ctrl-C": {"no plan", "not begun", "failed", "unknown", "stored"},
            "closed": {"no plan", "failed", "unknown", "stored"},
            "success: false": {"failed", "unknown"},
        }[failure]
    )


TO_STAGING = ("--to", "staging", "--yes", "--json", "--retries", "0")


# --- Revisions and environments ---------------------------------------------------------------------------------------


def test_revisions_are_listed_with_what_runs_them(client: Scout, server: LocalScout) -> None:
    workflow_id, old = pinned(client)
    new = client.workflows.create_revision(config_of("new"), id=workflow_id).revision_id
    client.workflows.set_environment(workflow_id, "staging", latest=True)
    done = scout("workflows", "revisions", "k", url=server.url)

    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["REVISION", "UPDATED", "RUNS", "IN", "NAME"]
    by_id = {row.split()[0]: row for row in rows}
    assert by_id.keys() == {old, new}
    assert by_id[old].endswith("development, production")
    assert by_id[new].endswith("staging")
    rows = json.loads(scout("workflows", "revisions", "k", "--json", url=server.url).stdout)
    assert [row["revision_id"] for row in rows] == [each.revision_id for each in client.workflows.revisions("key:k")]


def test_a_revision_gets_a_name() -> None:
    with Server(json_answer({})) as server:
        words = ["rename-revision", "wf_1", "rev_1", "first", "--description", "of all"]
        done = scout("workflows", *words, url=server.url)
    (request,) = server.requests
    assert (done.returncode, done.stdout, done.stderr) == (0, "renamed rev_1\n", "")
    assert (request.method, request.path) == ("PUT", "/v2/workflows/wf_1/revisions/rev_1")
    assert json.loads(request.body) == {"name": "first", "description": "of all"}


def test_a_name_is_shown() -> None:
    def choose(request: Received) -> Behaviour:
        if request.path.endswith("/environments"):
            return json_answer({"data": []})
        stored = {"workflow_id": "wf_1", **REVISION, "name": "The \x1b first"}
        return json_answer({"data": [stored] if request.path.endswith("/revisions") else stored})

    with Server(route(choose)) as server:
        done = scout("workflows", "revisions", "wf_1", url=server.url)
    assert done.stdout.splitlines()[1].split(maxsplit=1) == ["r1", "The \\x1b first"]


def test_environments_are_listed_with_what_they_run(client: Scout, server: LocalScout) -> None:
    workflow_id, old = pinned(client)
    client.workflows.set_environment(workflow_id, "staging", latest=True)
    done = scout("workflows", "environments", workflow_id, url=server.url)

    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["ENVIRONMENT", "UPDATED", "BY", "RUNS"]
    found = {row.split()[0]: row for row in rows}
    assert found.keys() == {"development", "staging", "production"}
    assert found["staging"].endswith(f"  the newest revision, now {old}")
    assert found["production"].endswith(f"  {old}")
    rows = json.loads(scout("workflows", "environments", "k", "--json", url=server.url).stdout)
    assert {row["environment_config"]["name"] for row in rows} == found.keys()


@pytest.mark.parametrize(
    ("identity", "shown"),
    [
        ({"type": "user", "details": {"email": {"primary": "a@example.com"}, "user_id": "u"}}, "a@example.com"),
        ({"type": "user", "details": {"email": {}, "user_id": "u_1"}}, "u_1"),
        ({"type": "api_key", "details": {"api_key": {"name": "ci \x1b[31m"}}}, "ci \\x1b[31m"),
        ({"type": "system"}, "system"),
        ({"type": 5, "details": [1]}, ""),
        (None, ""),
    ],
)
def test_who_changed_an_environment(identity: Any, shown: str) -> None:
    sent = {**as_sent("staging", [("revision_id", 100)]), "last_updated_by": identity, "last_updated_at": "soon"}

    def choose(request: Received) -> Behaviour:
        is_list = request.path.endswith("/environments")
        return json_answer({"data": [sent] if is_list else {"workflow_id": "wf_1", **REVISION}})

    with Server(route(choose)) as server:
        done = scout("workflows", "environments", "wf_1", url=server.url)
    assert done.stdout.splitlines()[1] == f"staging      soon     {shown:<{max(len(shown), 2)}}  r1"


def test_an_environment_is_set_by_hand(client: Scout, server: LocalScout) -> None:
    workflow_id, old = pinned(client)
    new = client.workflows.create_revision(config_of("new"), id=workflow_id).revision_id

    def set_it(*args: str) -> str:
        done = scout("workflows", "set-environment", "k", *args, "--yes", url=server.url)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert set_it("production", new) == f"production runs {new}\n"
    assert set_it("staging", "latest") == "staging runs the newest revision, always\n"
    assert runs(client) == {"development": old, "staging": None, "production": new}


@pytest.mark.parametrize(
    ("args", "result"),
    [
        (
            ("set-environment", "k", "staging", "REV"),
            {"environment": "staging", "revision_id": "REV", "follows_latest": False},
        ),
        (
            ("set-environment", "k", "staging", "latest"),
            {"environment": "staging", "revision_id": None, "follows_latest": True},
        ),
        (("promote", "k", "REV"), {"revision_id": "REV", "promoted": True}),
        (("rename-revision", "k", "REV", "first"), {"revision_id": "REV", "name": "first"}),
        (("delete-revision", "k", "REV"), {"revision_id": "REV", "deleted": True}),
    ],
)
def test_what_changes_something_prints_one_object(
    args: tuple[str, ...], result: dict[str, object], client: Scout, server: LocalScout
) -> None:
    workflow_id, _ = pinned(client)
    new = client.workflows.create_revision(config_of("new"), id=workflow_id).revision_id
    client.workflows.create_revision(config_of("newest"), id=workflow_id)  # the newest one cannot be deleted
    words = [word.replace("REV", new) for word in args]

    done = scout("workflows", *words, "--json", *([] if "rename" in args[0] else ["--yes"]), url=server.url)

    found = json.loads(done.stdout)
    found.pop("detail", None)
    expected = {name: new if value == "REV" else value for name, value in result.items()}
    assert (done.returncode, done.stderr) == (0, "")
    assert found == {"workflow_id": workflow_id, **expected}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("set-environment", "k", "CONSOLE", "rev_0"), "argument ENVIRONMENT: 'CONSOLE' always runs the newest saved"),
        (("set-environment", "k", "", "rev_0"), "argument ENVIRONMENT: must not be empty"),
        (("set-environment", "k", "staging", ""), "argument REVISION: must not be empty"),
        (("promote", "k", ""), "argument REVISION: must not be empty"),
    ],
)
def test_arguments_are_named_as_in_the_help(args: tuple[str, ...], said: str, server: LocalScout) -> None:
    before = len(server.requests)
    done = scout("workflows", *args, "--yes", url=server.url)

    assert (done.returncode, done.stdout, len(server.requests)) == (2, "", before)
    assert done.stderr.startswith(f"scout: {said}")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("set-environment", "k", "staging", "REV"), "staging runs REV\n"),
        (("promote", "k", "REV"), "promoted REV\n"),
        (("delete-revision", "k", "REV"), "deleted"),
    ],
)
def test_what_changes_something_asks_and_shows_what_runs(
    args: tuple[str, ...], said: str, client: Scout, server: LocalScout, asked: Asked
) -> None:
    workflow_id, old = pinned(client)
    new = client.workflows.create_revision(config_of("new"), id=workflow_id).revision_id
    client.workflows.create_revision(config_of("newest"), id=workflow_id)  # the newest one cannot be deleted
    before = len(changes(server))
    words = ["workflows", *(word.replace("REV", new) for word in args)]

    done = scout(*words, url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{args[0]} asks on a terminal; elsewhere it needs --yes" in done.stderr
    done = asked(*words, answer=lambda: "n\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"scout: production runs {old}\n" in done.stderr
    assert f"of {workflow_id} k" in done.stderr
    assert "scout: nothing was changed\n" in done.stderr
    assert len(changes(server)) == before
    done = asked(*words, answer=lambda: "y\n")
    assert done.returncode == 0
    assert said.replace("REV", new) in done.stdout
    assert len(changes(server)) == before + 1


@pytest.mark.parametrize(
    "args", [("set-environment", "k", "staging", "rev_0"), ("promote", "k", "rev_0"), ("delete-revision", "k", "rev_0"),
             ("rename-revision", "k", "rev_0", "x"), ("set-environment", "k", "console", "REV"),
             ("set-environment", "k", "nowhere", "REV")]
)  # fmt: skip
def test_what_is_not_there(args: tuple[str, ...], client: Scout, server: LocalScout) -> None:
    _, old = pinned(client)
    words = [word.replace("REV", old) for word in args]
    done = scout("workflows", *words, *([] if args[0].startswith("rename") else ["--yes"]), url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scout: ")

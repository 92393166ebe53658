"""`scout promote`: the plan, the question, what is sent and what is not, and what is told when something goes wrong."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Done, run_here, run_on_a_terminal
from servers import Behaviour, Peer, Received, Server, json_answer, route

from scout import Scout
from scout.local import Fault, LocalScout

KEY = "secret_planted_key"
BLOCK = {"block_id": "a", "block_display_name": "A", "block_archetype_id": "com.scoutos.text", "is_output": True}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def client(server: LocalScout) -> Iterator[Scout]:
    server.reset()
    with Scout(KEY, base_url=server.url, retries=0) as client:
        yield client


def config_of(text: str) -> dict[str, Any]:
    return {"blocks": [{**BLOCK, "block_inputs": {"text": text}}]}


def staged(client: Scout, key: str) -> tuple[str, str, str]:
    """Store a workflow with two revisions, the newer in staging and the older in production. Return its three ids."""
    made = client.workflows.create(config_of("old"), key=key)
    for name in ("development", "production"):
        client.workflows.set_environment(made.id, name, revision_id=made.revision_id)
    new = client.workflows.create_revision(config_of("new"), id=made.id)
    client.workflows.set_environment(made.id, "staging", revision_id=new.revision_id)
    return made.id, made.revision_id, new.revision_id


def runs(client: Scout, key: str) -> dict[str, str | None]:
    return {each.name: each.revision_id for each in client.workflows.environments(f"key:{key}")}


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}


def promote(*args: object, url: str) -> Done:
    done = run_here("promote", *args, env=environment(url))
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def changes(server: LocalScout) -> list[str]:
    return [f"{each.method} {each.path.rpartition('/')[0]}" for each in server.requests if each.method == "PUT"]


# --- The plan ---------------------------------------------------------------------------------------------------------


def test_what_staging_runs_is_what_production_runs(client: Scout, server: LocalScout) -> None:
    workflow_id, old, new = staged(client, "k")
    done = promote("k", "staging", "production", "--yes", url=server.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"~ promote k ({workflow_id})\n"
        f"    production: {old} -> {new}\n"
        '    block a "A"\n'
        '      ~ block_inputs.text: "old" -> "new"\n'
        "1 to promote, 0 unchanged\n"
        f"promoted k: production runs {new}, and ran {old} before\n"
        "1 promoted\n"
    )
    assert runs(client, "k") == {"development": old, "staging": new, "production": new}
    assert client.workflows.execute("key:k").output == "new"


def test_what_runs_there_already_is_said(client: Scout, server: LocalScout) -> None:
    staged(client, "k")
    _, _, new = staged(client, "other")
    client.workflows.set_environment("key:other", "production", revision_id=new)
    before = len(changes(server))
    done = promote("other", "staging", "production", "--yes", url=server.url)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"    production runs it already: {new}\n0 to promote, 1 unchanged\n" in done.stdout
    assert len(changes(server)) == before
    both = json.loads(promote("k", "other", "staging", "production", "--dry-run", "--json", url=server.url).stdout)
    assert [each["action"] for each in both["workflows"]] == ["promote", "unchanged"]
    assert both["plan"] == {"promote": 1, "unchanged": 1}
    assert len(changes(server)) == before


def test_the_exit_code_of_a_dry_run(client: Scout, server: LocalScout) -> None:
    staged(client, "k")
    before = len(changes(server))

    def code(*args: str) -> int:
        return promote("k", "staging", *args, url=server.url).returncode

    assert (code("production", "--dry-run"), code("production", "--dry-run", "--exit-code")) == (0, 1)
    assert code("production", "--dry-run", "--exit-code", "--json") == 1
    assert len(changes(server)) == before
    assert code("production", "--yes", "--exit-code") == 2  # it goes with --dry-run
    assert code("production", "--yes") == 0
    assert code("production", "--dry-run", "--exit-code") == 0


def test_an_environment_that_follows_the_newest_revision(client: Scout, server: LocalScout) -> None:
    workflow_id, old, new = staged(client, "k")
    client.workflows.set_environment(workflow_id, "staging", latest=True)
    newest = client.workflows.create_revision(config_of("newest"), id=workflow_id).revision_id
    done = promote("k", "staging", "production", "--yes", url=server.url)

    assert done.returncode == 0, done.stderr
    assert f"    production: {old} -> {newest}\n" in done.stdout
    assert runs(client, "k") == {"development": old, "staging": None, "production": newest}

    done = promote("k", "development", "staging", "--yes", url=server.url)
    assert f"    staging: the newest revision, now {newest} -> {old}\n" in done.stdout
    assert runs(client, "k") == {"development": old, "staging": old, "production": newest}
    assert new not in done.stdout


def test_ids_and_keys_name_a_workflow_once(client: Scout, server: LocalScout) -> None:
    workflow_id, _, new = staged(client, "k")
    found = promote("k", workflow_id, "key:k", "staging", "production", "--yes", "--json", url=server.url)
    (step,) = json.loads(found.stdout)["workflows"]
    assert (step["workflow_key"], step["outcome"], step["revision_id"]) == ("k", "promoted", new)


def deployed(*revisions: str | None) -> list[dict[str, Any]]:
    return [
        {"deployment_config": {"revision_lookup": "revision_id", "revision_id": each, "traffic": 50}}
        for each in revisions
    ]


def scripted(
    staging: list[dict[str, Any]], production: list[dict[str, Any]], **stored: Any
) -> Callable[..., Behaviour]:
    """Return the answers of a server with one workflow, `wf_1`."""
    workflow = {"workflow_id": "wf_1", "revision_id": "r2", "workflow_config": {}, "is_draft": False, **stored}
    environments = [
        {"environment_id": f"env_{name}", "environment_config": {"name": name}, "deployments": deployments}
        for name, deployments in {"Staging": staging, "Production": production}.items()
    ]

    def choose(request: Received) -> Behaviour:
        assert request.method == "GET"
        if request.path.endswith("/environments"):
            return json_answer({"data": environments})
        return json_answer({"data": [workflow] if request.path.endswith("/revisions") else workflow})

    return choose


LATEST = [{"deployment_config": {"revision_lookup": "latest"}}]


@pytest.mark.parametrize(
    ("staging", "stored", "said"),
    [
        (deployed("r1", "r2"), {}, "staging runs r1 (traffic 50) and r2 (traffic 50), which is not one revision"),
        ([], {}, "staging runs nothing, which is not one revision"),
        ([{"deployment_config": {"revision_lookup": "of tomorrow"}}], {}, "staging runs unknown, which is not one"),
        (LATEST, {"is_draft": None}, "staging runs the newest revision, now unknown, which is not one revision"),
        (LATEST, {"is_draft": True}, "staging runs the newest revision, now unknown, which is not one revision"),
    ],
)
def test_what_is_not_one_revision_is_not_promoted(staging: Any, stored: Any, said: str) -> None:
    with Server(route(scripted(staging, deployed("r1"), **stored))) as server:
        done = promote("wf_1", "staging", "production", "--yes", url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"wf_1: {said}" in done.stderr
    assert "`scout workflows set-environment wf_1 production REVISION` says which one" in done.stderr


def test_what_takes_the_place_of_several_is_shown() -> None:
    with Server(route(scripted(deployed("r1"), deployed("r1", "r2")))) as server:
        done = promote("wf_1", "staging", "production", "--dry-run", url=server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "    production: r1 (traffic 50) and r2 (traffic 50) -> r1\n    what changes is not known" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["k", "staging"], "the following arguments are required: "),
        (["k", "staging", "console"], "'console' is none of production, staging, development"),
        (["k", "stagin", "production"], "did you mean staging?"),
        (["k", "staging", "staging"], "FROM and TO are both staging"),
        (["k.json", "staging", "production"], "k.json is a file, and a stored workflow is meant"),
        (["no", "staging", "production"], "no workflow has the key 'no'"),
    ],
)
def test_what_is_wrong_sends_no_change(
    args: list[str], said: str, client: Scout, server: LocalScout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged(client, "k")
    before = len(changes(server))
    (tmp_path / "k.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    done = promote(*args, "--yes", url=server.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(changes(server)) == before


# --- The question, and what changes meanwhile -------------------------------------------------------------------------

Asked = Callable[..., Done]


@pytest.fixture
def asked(server: LocalScout) -> Asked:
    return partial(run_on_a_terminal, "promote", env=environment(server.url))


@pytest.mark.parametrize("is_agreed", [True, False])
def test_on_a_terminal_it_asks(*, is_agreed: bool, client: Scout, server: LocalScout, asked: Asked) -> None:
    _, old, new = staged(client, "k")
    done = asked("k", "staging", "production", answer=lambda: "y\n" if is_agreed else "\n")

    assert f"scout: promote 1 workflow to production at {server.url}? [y/N]" in done.stderr
    assert done.returncode == (0 if is_agreed else 2)
    assert runs(client, "k")["production"] == (new if is_agreed else old)
    assert ("not promoted" in done.stderr) is not is_agreed


def test_elsewhere_it_needs_yes(client: Scout, server: LocalScout) -> None:
    for more in ([], ["--json"]):
        done = promote("k", "staging", "production", *more, url=server.url)
        assert done.returncode == 2
        assert "give --yes" in done.stderr or "it needs --yes" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize("what", ["staging", "production", "newest"])
def test_what_was_changed_since_the_plan_is_left_alone(
    what: str, client: Scout, server: LocalScout, asked: Asked
) -> None:
    workflow_id, _, new = staged(client, "k")
    staged(client, "other")
    if what == "newest":
        client.workflows.set_environment(workflow_id, "staging", latest=True)
    theirs: list[str] = []

    def somebody_else() -> str:
        theirs.append(client.workflows.create_revision(config_of("theirs"), id=workflow_id).revision_id)
        if what != "newest":
            client.workflows.set_environment(workflow_id, what, revision_id=theirs[0])
        return "y\n"

    done = asked("k", "other", "staging", "production", answer=somebody_else)

    assert done.returncode == 2
    now = f"the newest revision, now {theirs[0]}" if what == "newest" else theirs[0]
    name = "staging" if what == "newest" else what
    assert (
        f"scout: k: this has been changed since the plan was made: {name} runs {now}; nothing was sent; run the "
        in (done.stderr)
    )
    assert runs(client, "k")["production"] not in ((new, theirs[0]) if what != "production" else (new,))
    assert runs(client, "other")["production"] == runs(client, "other")["staging"]
    assert done.stdout.endswith("1 promoted, 1 failed\n")


# --- Failures in the middle -------------------------------------------------------------------------------------------


def outcomes(done: Done) -> dict[str, str]:
    return {each["workflow_key"]: each["outcome"] for each in json.loads(done.stdout)["workflows"]}


@pytest.mark.parametrize(
    ("status", "code", "outcome", "rest"),
    [(404, 2, "failed", "promoted"), (422, 2, "failed", "promoted"), (401, 2, "failed", "not begun"),
     (500, 3, "unknown", "not begun")],
)  # fmt: skip
def test_a_failure_in_the_middle(
    status: int, code: int, outcome: str, rest: str, client: Scout, server: LocalScout
) -> None:
    ids = {key: staged(client, key) for key in "abc"}
    server.fail_next(Fault(status=status, match=ids["b"][2]), times=5)
    done = promote("a", "b", "c", "staging", "production", "--yes", "--json", "--retries", "0", url=server.url)

    assert done.returncode == code
    assert outcomes(done) == {"a": "promoted", "b": outcome, "c": rest}
    assert runs(client, "a")["production"] == ids["a"][2]
    assert runs(client, "b")["production"] == ids["b"][1]
    assert runs(client, "c")["production"] == ids["c"][2 if rest == "promoted" else 1]
    assert json.loads(done.stdout)["workflows"][1]["error"]
    if outcome == "unknown":
        assert f"b: it is not known whether production runs {ids['b'][2]}" in done.stderr
        assert f"`scout workflows environments {ids['b'][0]}` tells" in done.stderr
    else:
        assert "scout: b was not promoted\n" in done.stderr
    assert ("scout: not begun: c\n" in done.stderr) is (rest == "not begun")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_ctrl_c_says_what_was_done(client: Scout, server: LocalScout) -> None:
    def ctrl_c(peer: Peer) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        peer.wait(PATIENCE)

    reads = scripted(deployed("r2"), deployed("r1"))
    with Server(route(lambda request: ctrl_c if request.method == "PUT" else reads(request))) as scripted_server:
        done = promote("wf_1", "staging", "production", "--yes", url=scripted_server.url)
    assert done.returncode == 130
    assert done.stdout.endswith("1 unknown\n")
    unknown = "it is not known whether production runs r2; `scout workflows environments wf_1` tells"
    assert done.stderr == f"scout: interrupted; wf_1: {unknown}\n"

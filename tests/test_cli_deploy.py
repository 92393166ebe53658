"""`scout deploy`: the plan, the question, what is sent and what is not, and what is told when something goes wrong."""

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
from servers import Behaviour, Peer, Received, Server, json_answer, refused_url, route

from scout import Scout
from scout.local import Fault, LocalScout

KEY = "secret_planted_key"
BLOCK = {"block_display_name": "Answer", "block_archetype_id": "com.scoutos.text", "is_output": True}


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
def folder(tmp_path: Path) -> Path:
    """Three workflows: `a` and `b` named after their folders, `c` by its file."""
    write(tmp_path / "flows/a/workflow.json", "A")
    write(tmp_path / "flows/b/workflow.json", "B")
    write(tmp_path / "flows/c.json", "C", key="c")
    return tmp_path


def config_of(text: str) -> dict[str, Any]:
    return {"blocks": [{"block_id": "answer", **BLOCK, "block_inputs": {"text": text}}]}


def write(path: Path, text: str, key: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    config = config_of(text)
    path.write_text(json.dumps(config if key is None else {"workflow_key": key, "workflow_config": config}))
    return path


def deploy(*args: object, url: str, cwd: Path | None = None) -> Done:
    done = run_here("deploy", *args, env=environment(url), cwd=cwd)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}


def plan(*args: object, url: str, cwd: Path | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(deploy(*args, "--dry-run", "--json", url=url, cwd=cwd).stdout)
    return found


def actions(document: dict[str, Any], what: str = "action") -> dict[str, str]:
    return {each["workflow_key"]: each[what] for each in document["workflows"]}


def changes(server: LocalScout) -> list[str]:
    """The requests that may change something, since the last reset."""
    return [f"{each.method} {each.path}" for each in server.requests if each.method != "GET"]


# --- The plan ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_changes_nothing(client: Scout, server: LocalScout, folder: Path) -> None:
    made = [client.workflows.create(config_of("old"), key="b"), client.workflows.create(config_of("C"), key="c")]
    before = len(changes(server))
    done = deploy("flows", "--dry-run", url=server.url, cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "+ create a from flows/a/workflow.json\n"
        "    1 block: answer\n"
        f"~ revise b ({made[0].id}) from flows/b/workflow.json\n"
        '    block answer "Answer"\n'
        '      ~ block_inputs.text: "old" -> "B"\n'
        f"  unchanged c ({made[1].id}) from flows/c.json\n"
        "1 to create, 1 to revise, 1 unchanged\n"
    )
    assert len(changes(server)) == before


def test_the_exit_code_of_a_dry_run(client: Scout, server: LocalScout, folder: Path) -> None:
    def code(*options: str) -> int:
        return deploy("flows", "--dry-run", *options, url=server.url, cwd=folder).returncode

    assert (code(), code("--exit-code"), code("--exit-code", "--json")) == (0, 1, 1)
    assert deploy("flows", "--yes", url=server.url, cwd=folder).returncode == 0
    assert (code("--exit-code"), code("--exit-code", "--force")) == (0, 1)
    (folder / "flows/c.json").write_text('{"block_id": ')
    assert code("--exit-code") == 2
    assert deploy("flows", "--yes", "--exit-code", url=server.url, cwd=folder).returncode == 2


def test_the_plan_is_carried_out_in_its_order(client: Scout, server: LocalScout, folder: Path) -> None:
    client.workflows.create(config_of("old"), key="b")
    done = deploy("flows", "--yes", url=server.url, cwd=folder)

    assert done.returncode == 0
    ids = server.workflow_ids
    assert [line.partition(", revision rev_")[0] for line in done.stdout.splitlines()[-4:]] == [
        f"created a: {ids['a']}",
        f"revised b: {ids['b']}",
        f"created c: {ids['c']}",
        "2 created, 1 revised",
    ]
    assert [client.workflows.get(ids[key]).config for key in "abc"] == [config_of(text) for text in "ABC"]
    names = [("workflow_key", "a"), ("workflow_id", ids["b"]), ("workflow_key", "c")]
    assert [dict(each.query) for each in server.requests if each.method == "POST"][1:] == [
        dict([each]) for each in names
    ]


def test_a_second_time_nothing_is_sent_but_reads(client: Scout, server: LocalScout, folder: Path) -> None:
    assert deploy("flows", "--yes", url=server.url, cwd=folder).returncode == 0
    server_requests = len(server.requests)
    done = deploy("flows", "--yes", url=server.url, cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "0 to create, 0 to revise, 3 unchanged"
    assert {each.method for each in server.requests[server_requests:]} == {"GET"}


def test_a_few_files_are_looked_up_and_many_are_listed_once(tmp_path: Path) -> None:
    workflows = {f"w{number:03}": config_of("same") for number in range(100)}
    for key in workflows:
        write(tmp_path / f"{key}.json", "same")
    with LocalScout(api_key=KEY, workflows=workflows) as server:
        document = plan(tmp_path, "--no-check", url=server.url)
        assert document["plan"] == {"create": 0, "revise": 0, "unchanged": 100}
        assert len(server.requests) == 2  # the pages of the local Scout have 50
        plan(tmp_path / "w000.json", tmp_path / "w099.json", "--no-check", url=server.url)
        assert len(server.requests) == 4


SAME: list[tuple[str, Any, Any]] = [
    ("the order of keys", {"tags": [], "a": 1, "b": 2}, {"b": 2, "a": 1, "tags": []}),
    ("1 and 1.0", {"tags": [], "a": 1}, {"tags": [], "a": 1.0}),
    ("null and nothing", {"tags": [], "a": None}, {"tags": []}),
    ("1 and true", {"tags": [], "a": 1}, {"tags": [], "a": True}),
    ("the canvas", {**config_of("x"), "placeholders": []}, config_of("x")),
    (
        "the order of blocks",
        {"blocks": [{**BLOCK, "block_id": "a"}, {**BLOCK, "block_id": "b"}]},
        {"blocks": [{**BLOCK, "block_id": "b"}, {**BLOCK, "block_id": "a"}]},
    ),
    (
        "the name of the output mark",
        config_of("x"),
        {
            "blocks": [
                {("block_is_output" if k == "is_output" else k): v for k, v in config_of("x")["blocks"][0].items()}
            ]
        },
    ),
]


@pytest.mark.parametrize(("what", "there", "here"), SAME, ids=[each[0] for each in SAME])
def test_unchanged_is_what_deploy_calls_unchanged(
    what: str, there: Any, here: Any, client: Scout, server: LocalScout, tmp_path: Path
) -> None:
    client.workflows.create(there, key="k")
    (tmp_path / "k.json").write_text(json.dumps(here))
    planned = plan("k.json", "--no-check", url=server.url, cwd=tmp_path)
    is_unchanged = actions(planned)["k"] == "unchanged"
    (step,) = planned["workflows"]

    assert is_unchanged is not client.workflows.deploy(tmp_path / "k.json", key="k").changed
    assert is_unchanged or step["differences"] or step["note"] == f"only {what} has changed"


MOVED = {"ui": {"position": {"x": 1, "y": 2}}}
TWO = {"blocks": [{**BLOCK, "block_id": "a"}, {**BLOCK, "block_id": "b", "is_output": False}]}


@pytest.mark.parametrize(
    ("here", "note"),
    [
        ({"blocks": [TWO["blocks"][0] | MOVED, TWO["blocks"][1]]}, "only the canvas of the editor has changed"),
        ({"blocks": [TWO["blocks"][0] | MOVED], "tags": []}, "the canvas of the editor has changed as well, which"),
        ({"blocks": TWO["blocks"][::-1]}, "only the order of blocks has changed"),
        (TWO, None),
        ({**TWO, "tags": []}, None),
    ],
)
@pytest.mark.parametrize("is_draft", [False, True])
def test_the_plan_says_what_differs_beside_the_meaning(
    *, is_draft: bool, here: Any, note: str | None, client: Scout, server: LocalScout, tmp_path: Path
) -> None:
    made = client.workflows.create(TWO, key="k")
    if is_draft:
        client.workflows.update(made.id, TWO)
        same = "; the draft is the same" if here is TWO else ""
        note = f"the newest state is a draft, which is not deployed{f'; {note}' if note else same}"
    (tmp_path / "k.json").write_text(json.dumps(here))

    found = plan("k.json", "--no-check", url=server.url, cwd=tmp_path)["workflows"][0]["note"]
    assert found is None if note is None else found.startswith(note)


def test_a_draft_is_revised_even_if_it_is_the_same(client: Scout, server: LocalScout, folder: Path) -> None:
    made = client.workflows.create(config_of("old"), key="a")
    client.workflows.update(made.id, config_of("A"))
    done = deploy("flows/a", "--yes", url=server.url, cwd=folder)

    assert done.returncode == 0
    assert "the newest state is a draft, which is not deployed; the draft is the same\n" in done.stdout
    assert client.workflows.get(made.id).is_draft is False


def test_force_stores_what_has_not_changed(client: Scout, server: LocalScout, folder: Path) -> None:
    made = client.workflows.create(config_of("A"), key="a")
    done = deploy("flows/a", "--yes", "--force", url=server.url, cwd=folder)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 revised")
    assert client.workflows.get(made.id).revision_id != made.revision_id


def test_what_is_stored_may_be_anything(tmp_path: Path) -> None:
    odd = {"workflow_id": "wf_1", "revision_id": "r", "workflow_key": "k", "workflow_config": {"blocks": [1]}}
    write(tmp_path / "k.json", "x")
    with Server(json_answer({"data": [odd], "has_more": False})) as server:
        done = deploy("k.json", "--dry-run", url=server.url, cwd=tmp_path)
    assert done.returncode == 0
    assert "what is stored cannot be compared" in done.stdout


def test_a_few_blocks_of_a_new_workflow_are_named(server: LocalScout, tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps({"blocks": [{**BLOCK, "block_id": f"b{n}"} for n in range(9)]}))
    done = deploy("k.json", "--dry-run", "--no-check", url=server.url, cwd=tmp_path)
    assert "\n    9 blocks: b0, b1, b2, b3, b4, b5, b6, b7, ...\n" in done.stdout


# --- Keys and files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "in_file", "key"),
    [
        ("flows/hello/workflow.yml", None, "hello"),
        ("flows/hello/workflow.yaml", None, "hello"),
        ("flows/hello/workflow.json", "other", "other"),
        ("flows/hello/greeting.yml", None, "greeting"),
        ("flows/two words/workflow.yml", None, "two words"),
        ("flows/schlüssel 鍵.json", None, "schlüssel 鍵"),
        ("flows/x/workflow.json", "a/b?c=d#e", "a/b?c=d#e"),
        ("workflow.json", "key:k", "key:k"),
    ],
)
def test_the_key_of_a_file(
    path: str, in_file: str | None, key: str, client: Scout, server: LocalScout, tmp_path: Path
) -> None:
    write(tmp_path / path, "x", in_file)
    for _ in range(2):
        assert deploy(path, "--yes", url=server.url, cwd=tmp_path).returncode == 0
    assert list(server.workflow_ids) == [key]
    assert len(changes(server)) == 1


def test_the_folder_of_a_file_is_named_from_anywhere(client: Scout, server: LocalScout, folder: Path) -> None:
    assert actions(plan("workflow.json", url=server.url, cwd=folder / "flows/a")) == {"a": "create"}
    assert actions(plan("../b/workflow.json", url=server.url, cwd=folder / "flows/a")) == {"b": "create"}
    assert actions(plan("../../flows/a", "../b/..", url=server.url, cwd=folder / "flows/a")).keys() == {*"abc"}


def test_the_option_key_is_for_one_file(client: Scout, server: LocalScout, folder: Path) -> None:
    assert deploy("flows/a", "--key", "mine", "--yes", url=server.url, cwd=folder).returncode == 0
    assert list(server.workflow_ids) == ["mine"]
    done = deploy("flows", "--key", "mine", "--yes", url=server.url, cwd=folder)
    assert (done.returncode, done.stderr) == (2, "scout: --key is for one file, and these are 3\n")


def test_two_files_with_one_key_send_nothing(client: Scout, server: LocalScout, folder: Path) -> None:
    write(folder / "flows/d.json", "D", key="a")
    done = deploy("flows", "--yes", url=server.url, cwd=folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert "flows/a/workflow.json and flows/d.json have the same key, 'a'" in done.stderr
    assert server.requests == []


def test_all_files_that_cannot_be_deployed_are_named(client: Scout, server: LocalScout, folder: Path) -> None:
    (folder / "flows/b/workflow.json").write_text('{"blocks": [{"block_id"')
    (folder / "of_another_program.json").write_text('{"name": "x"}')
    write(folder / "flows/empty.json", "x", key="")
    done = deploy("flows", "of_another_program.json", "--yes", url=server.url, cwd=folder)

    assert (done.returncode, done.stdout) == (2, "")
    assert "flows/b/workflow.json, line 1" in done.stderr
    assert "of_another_program.json, line 1, column 1: this is not a workflow" in done.stderr
    assert "flows/empty.json: the key must not be empty" in done.stderr
    assert done.stderr.startswith("scout: nothing was deployed:\n  flows/b/")
    assert server.requests == []

    done = deploy("flows", "--yes", "--json", url=server.url, cwd=folder)
    assert "flows/empty.json: the key must not be empty" in json.loads(done.stdout)["error"]["message"]


def test_files_are_checked_first(client: Scout, server: LocalScout, folder: Path) -> None:
    wrong = config_of("x")
    (folder / "flows/b/workflow.json").write_text(json.dumps({"blocks": wrong["blocks"] * 2}))
    done = deploy("flows", "--yes", url=server.url, cwd=folder)

    assert done.returncode == 2
    assert "flows/b/workflow.json:1:" in done.stderr
    assert server.requests == []
    assert deploy("flows", "--dry-run", "--no-check", url=server.url, cwd=folder).returncode == 0


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["empty"], "no workflow files were found there; they end in .yml, .yaml or .json"),
        (["nowhere"], "nowhere"),
        (["*.toml"], "*.toml"),
    ],
)
def test_where_no_workflow_is(paths: list[str], said: str, client: Scout, server: LocalScout, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/package.json").write_text('{"name": "x"}')
    done = deploy(*paths, "--yes", url=server.url, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_texts_cannot_act_on_the_terminal(client: Scout, server: LocalScout, tmp_path: Path) -> None:
    client.workflows.create(config_of("\x1b[31mold"), key="\x1b[2Jk")
    write(tmp_path / "k.json", "\x1b[31mnew\u202e", key="\x1b[2Jk")
    done = deploy("k.json", "--dry-run", url=server.url, cwd=tmp_path)

    assert "~ revise" in done.stdout
    assert not {"\x1b", "\u202e"} & {*done.stdout, *done.stderr}


# --- The question -----------------------------------------------------------------------------------------------------


Asked = Callable[..., Done]


@pytest.fixture
def asked(server: LocalScout) -> Asked:
    return partial(run_on_a_terminal, "deploy", env=environment(server.url))


@pytest.mark.parametrize(("reply", "count"), [("y\n", 3), ("YES\n", 3), ("\n", 0), ("n\n", 0), ("yep\n", 0), ("", 0)])
def test_on_a_terminal_it_asks(
    reply: str, count: int, client: Scout, server: LocalScout, folder: Path, asked: Asked
) -> None:
    done = asked(folder, answer=lambda: reply)

    assert f"scout: deploy 3 workflows to {server.url}? [y/N]" in done.stderr
    assert "3 to create, 0 to revise, 0 unchanged\n" in done.stdout
    assert len(server.workflow_ids) == count
    assert done.returncode == (0 if count else 2)
    assert ("not deployed" in done.stderr) is not bool(count)


def test_it_does_not_ask_when_there_is_nothing_to_do(
    client: Scout, server: LocalScout, folder: Path, asked: Asked
) -> None:
    deploy(folder, "--yes", url=server.url)
    done = asked(folder, answer=lambda: pytest.fail("asked"))
    assert (done.returncode, done.stderr) == (0, "")


def test_elsewhere_it_needs_yes(client: Scout, server: LocalScout, folder: Path, asked: Asked) -> None:
    done = deploy("flows", url=server.url, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "deploy asks on a terminal; elsewhere it needs --yes, or --dry-run" in done.stderr
    done = asked(folder, "--json", answer=lambda: pytest.fail("asked"))
    assert (done.returncode, json.loads(done.stdout)["error"]["type"]) == (2, "UsageError")
    assert "with --json, deploy does not ask" in done.stderr
    assert server.requests == []


# --- What changes between the plan and its end ------------------------------------------------------------------------


def test_what_was_changed_since_the_plan_is_left_alone(
    client: Scout, server: LocalScout, folder: Path, asked: Asked
) -> None:
    made = client.workflows.create(config_of("old"), key="b")

    def somebody_else() -> str:
        client.workflows.create_revision(config_of("theirs"), id=made.id)
        return "y\n"

    done = asked(folder, answer=somebody_else)

    assert done.returncode == 2
    assert f"b: {made.id} has been changed since the plan was made: it is revision rev_" in done.stderr
    assert "run the command again to see a new plan" in done.stderr
    assert done.stdout.endswith("2 created, 1 failed\n")
    assert client.workflows.get(made.id).config == config_of("theirs")
    assert changes(server)[-2:] == ["POST /v2/workflows"] * 2


def test_what_was_created_since_the_plan_is_left_alone(
    client: Scout, server: LocalScout, folder: Path, asked: Asked
) -> None:
    def somebody_else() -> str:
        client.workflows.create(config_of("theirs"), key="b")
        return "y\n"

    done = asked(folder, answer=somebody_else)

    assert done.returncode == 2
    assert "scout: b was not deployed\nscout: 409 Conflict: " in done.stderr
    assert "run the command again to see a new plan" in done.stderr
    assert done.stdout.endswith("2 created, 1 failed\n")
    assert client.workflows.get("key:b").config == config_of("theirs")
    assert "POST /v2/workflows/revisions" not in changes(server)


def test_what_was_deleted_since_the_plan_is_not_created(
    client: Scout, server: LocalScout, folder: Path, asked: Asked
) -> None:
    made = client.workflows.create(config_of("old"), key="b")

    def somebody_else() -> str:
        client.workflows.delete(made.id)
        return "y\n"

    done = asked(folder, answer=somebody_else)

    assert done.returncode == 2
    assert "scout: b was not deployed\nscout: 404 Not Found: " in done.stderr
    assert server.workflow_ids.keys() == {"a", "c"}


# --- Failures in the middle -------------------------------------------------------------------------------------------


def results(done: Done) -> dict[str, str]:
    return actions(json.loads(done.stdout), "outcome")


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}])
def test_an_unknown_outcome_ends_it_and_is_not_repeated(
    fault: dict[str, Any], client: Scout, server: LocalScout, folder: Path
) -> None:
    server.fail_next(Fault(**fault, match='"B"'), times=5)
    done = deploy("flows", "--yes", url=server.url, cwd=folder)

    assert done.returncode == 3
    assert "b: it is not known whether it was deployed" in done.stderr
    assert "look before you do it again" in done.stderr
    assert "not begun: c from flows/c.json" in done.stderr
    assert done.stdout.endswith("1 created, 1 unknown, 1 not begun\n")
    assert changes(server) == ["POST /v2/workflows"] * 2


def test_a_refusal_ends_nothing_else(client: Scout, server: LocalScout, folder: Path) -> None:
    detail = [{"loc": ["body", "blocks", 0, "block_id"], "msg": "too short", "type": "value_error"}]
    server.fail_next(Fault(status=422, body={"detail": detail}, match='"B"'))
    done = deploy("flows", "--yes", "--json", url=server.url, cwd=folder)

    assert done.returncode == 2
    assert results(done) == {"a": "created", "b": "failed", "c": "created"}
    assert "flows/b/workflow.json, line 1, column 14: blocks.0.block_id: too short" in done.stderr
    assert "too short" in json.loads(done.stdout)["workflows"][1]["error"]


def test_a_wrong_key_stops_at_the_first(client: Scout, server: LocalScout, folder: Path) -> None:
    server.fail_next(Fault(status=401, match='"A"'))
    done = deploy("flows", "--yes", "--json", url=server.url, cwd=folder)

    assert done.returncode == 2
    assert results(done) == {"a": "failed", "b": "not begun", "c": "not begun"}


@pytest.mark.usefixtures("no_waiting")
def test_a_server_that_cannot_be_reached(folder: Path) -> None:
    with refused_url() as url:
        done = deploy("flows", "--dry-run", "--exit-code", url=url, cwd=folder)
    assert (done.returncode, done.stdout) == (3, "")


def ctrl_c(peer: Peer) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    peer.wait(PATIENCE)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("is_revision", [False, True])
def test_ctrl_c_says_what_was_done(*, is_revision: bool, folder: Path) -> None:
    def stored(number: int, key: str) -> dict[str, Any]:
        return {"workflow_id": f"wf_{number}", "revision_id": "r", "workflow_key": key, "workflow_config": {}}

    there = [stored(2, "b")] if is_revision else []

    def choose(request: Received) -> Behaviour:
        if request.method == "GET" and request.path == "/v2/workflows":
            return json_answer({"data": there, "has_more": False})
        if request.query.get("workflow_key") == "a":
            return json_answer({"data": stored(1, "a")})
        return ctrl_c

    with Server(route(choose)) as server:
        done = deploy("flows", "--yes", url=server.url, cwd=folder)
        as_json = deploy("flows", "--yes", "--json", url=server.url, cwd=folder)

    assert results(as_json) == {"a": "created", "b": "not begun" if is_revision else "unknown", "c": "not begun"}
    assert as_json.stderr.endswith(done.stderr.rpartition("scout: interrupted")[2])
    assert done.returncode == as_json.returncode == 130
    assert "created a: wf_1, revision r\n" in done.stdout
    assert "not begun: c from flows/c.json" in done.stderr
    if is_revision:  # during the look at what is stored, so that b was not sent
        assert "not begun: b from flows/b/workflow.json" in done.stderr
        assert done.stdout.endswith("1 created, 2 not begun\n")
        assert done.stderr.endswith("scout: interrupted\n")
    else:
        assert done.stdout.endswith("1 created, 1 unknown, 1 not begun\n")
        assert done.stderr.endswith(
            "interrupted; b: it is not known whether it was deployed; "
            "with --dry-run the command shows what is stored by then\n"
        )

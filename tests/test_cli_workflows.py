"""`scout workflows`: what each action prints, asks, writes and refuses, on the local Scout and on a scripted server."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import commands
import pytest
from commands import PATIENCE, Done, run_here
from servers import Server, answer, close_unanswered, json_answer, refused_url

from scout import Scout
from scout.local import LocalScout

KEY = "secret_planted_key"
NASTY = "\x1b[31mred\x1b[0m \x07 two\nlines \u202eevil"
ECHO = """\
workflow_key: echo
workflow_config:
  workflow_display_name: Echo
  a_field_that_nobody_knows: {z: 1.10, a: null}
  blocks:
    - block_id: echo
      block_display_name: Echo
      block_archetype_id: com.scoutos.text
      is_output: true
      block_inputs: {text: "you said {{ inputs.text }}"}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout(api_key=KEY) as server:
        yield server


@pytest.fixture
def client(server: LocalScout) -> Iterator[Scout]:
    server.reset()
    with Scout(KEY, base_url=server.url) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "echo.yml").write_text(ECHO)
    return tmp_path


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY}


def command(*args: object) -> list[str]:
    return commands.command("workflows", *args)


def workflows(*args: object, url: str, cwd: Path | None = None) -> Done:
    """Run the command, and see that it does not show the key."""
    result = run_here("workflows", *args, env=environment(url), cwd=cwd)
    assert KEY not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    return result


def stored(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"workflow_id": f"wf_{number}", "revision_id": "rev_1", "workflow_config": {}, **more}


def page(*found: dict[str, Any], next_cursor: str | None = None) -> dict[str, Any]:
    return {"data": found, "next_cursor": next_cursor, "has_more": next_cursor is not None}


class TestList:
    def test_a_table_of_all_pages(self, client: Scout, server: LocalScout) -> None:
        ids = [client.workflows.create({"workflow_display_name": f"No. {n}"}, key=f"k{n}").id for n in range(5)]
        client.workflows.update(ids[4], {"workflow_display_name": "Draft"})
        done = workflows("list", url=server.url)

        assert (done.returncode, done.stderr) == (0, "")
        heading, *rows = done.stdout.splitlines()
        assert heading.split() == ["ID", "KEY", "UPDATED", "NAME"]
        assert [row.split()[:2] for row in rows] == [[ids[n], f"k{n}"] for n in range(5)]
        assert all(row.index(f"k{n}") == heading.index("KEY") for n, row in enumerate(rows))
        assert "(draft)" in rows[4]

    def test_a_json_array_with_each_on_a_line(self, client: Scout, server: LocalScout) -> None:
        for n in range(3):
            client.workflows.create({"new": [1, {"two": None}]}, key=f"k{n}")
        done = workflows("list", "--json", url=server.url)

        rows = json.loads(done.stdout)
        assert [row["workflow_key"] for row in rows] == ["k0", "k1", "k2"]
        assert rows[0]["workflow_config"] == {"new": [1, {"two": None}]}
        assert [json.loads(line[2:]) for line in done.stdout.splitlines()[:3]] == rows

    @pytest.mark.parametrize("limit", [1, 2, 3, 5])
    def test_no_more_than_so_many(self, limit: int) -> None:
        pages = [
            page(stored(1), stored(2), next_cursor="a"),
            page(stored(3), next_cursor="b"),
            page(stored(4), stored(5)),
        ]
        for option in ([], ["--json"]):
            with Server([json_answer(each) for each in pages]) as server:
                done = workflows("list", "--limit", limit, *option, url=server.url)
            assert done.stdout.count("wf_") == limit
            assert server.hits == {1: 1, 2: 1, 3: 2, 5: 3}[limit]

    def test_an_array_that_lacks_a_page_is_not_closed(self) -> None:
        with Server(json_answer(page(stored(), next_cursor="here")), json_answer({"detail": "no"}, 400)) as server:
            done = workflows("list", "--json", url=server.url)
        assert (done.returncode, done.stdout.count("]")) == (3, 0)

    def test_options_go_to_the_server(self) -> None:
        with Server(json_answer(page())) as server:
            options = ["--query", "a b", "--tags", "x,y", "--sort", "created_at", "--direction", "desc", "--limit", "7"]
            done = workflows("list", *options, "--start-at", "here", url=server.url)

        assert (done.returncode, done.stdout) == (0, "")
        assert "no workflow matches" in done.stderr
        (request,) = server.requests
        assert request.query == {
            "query": "a b",
            "tags": "x,y",
            "sort": "created_at",
            "direction": "desc",
            "limit": "7",
            "start_at": "here",
        }

    def test_none_at_all(self, client: Scout, server: LocalScout) -> None:
        done = workflows("list", url=server.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "scout: there are no workflows\n")
        assert workflows("list", "--json", url=server.url).stdout == "[]\n"

    def test_what_is_strange_does_not_break_the_table(self) -> None:
        strange = [
            stored(1, workflow_key=NASTY, workflow_config={"workflow_display_name": NASTY}),
            stored(2, workflow_key="k" * 300, last_updated_at="not a time\x1b"),
            stored(3, workflow_key="鍵", workflow_config={"workflow_display_name": None}),
            stored(4, workflow_key=None, last_updated_at=None),
            stored(5, workflow_key=5, workflow_config={"workflow_display_name": ["a", 1], "blocks": "abc"}),
        ]
        with Server(json_answer(page(*strange))) as server:
            done = workflows("list", url=server.url)

        heading, *rows = done.stdout.splitlines()
        assert len(rows) == 5
        assert "\x1b" not in done.stdout
        assert "\u202e" not in done.stdout
        assert "\\x1b[31mred\\x1b[0m \\x07 two lines" in rows[0]
        assert "k" * 300 in rows[1]
        assert rows[3] == "wf_4"
        assert rows[4].split(maxsplit=2) == ["wf_5", "5", '["a", 1]']
        assert heading.index("UPDATED") < 60

    def test_a_reader_that_leaves_is_no_error(self, client: Scout, server: LocalScout) -> None:
        for n in range(3):
            client.workflows.create({"long": "x" * 200_000}, key=f"k{n}")
        process = subprocess.Popen(
            command("list", "--json", "--limit", "1"),
            env=environment(server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.wait(PATIENCE) == 141
        assert process.stderr.read() == b""
        process.stderr.close()

    def test_a_page_that_fails_says_which(self) -> None:
        with Server(json_answer(page(stored(), next_cursor="here")), json_answer({"detail": "no"}, 400)) as server:
            done = workflows("list", url=server.url)

        assert done.returncode == 3
        assert "wf_1" in done.stdout
        assert "page 2 of the list (--start-at 'here')" in done.stderr


class TestGetAndPull:
    def test_get_for_people_and_programs(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        done = workflows("get", made.id, url=server.url)

        facts = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
        assert facts["id"] == made.id
        assert (facts["key"], facts["name"], facts["blocks"]) == ("echo", "Echo", "echo")
        assert facts["revision"] == made.revision_id
        whole = json.loads(workflows("get", made.id, "--json", url=server.url).stdout)
        assert whole == made.raw
        assert list(whole["workflow_config"]["a_field_that_nobody_knows"]) == ["z", "a"]

    def test_pull_and_deploy_change_nothing(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        for name in ("pulled.yml", "pulled.json"):
            done = workflows("pull", made.id, "-o", name, url=server.url, cwd=folder)
            assert (done.returncode, done.stdout) == (0, f"{name}\n")
            assert made.revision_id in done.stderr
            done = workflows("deploy", name, url=server.url, cwd=folder)
            assert done.stdout == f"nothing changed in {made.id}, revision {made.revision_id}\n"

    def test_pull_overwrites_only_when_told(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml", key="../a key/")
        first = workflows("pull", made.id, url=server.url, cwd=folder)
        assert first.stdout == "a-key.yml\n"
        (folder / "a-key.yml").write_text("mine")

        for more in ([], ["-o", "a-key.yml"]):
            done = workflows("pull", made.id, *more, url=server.url, cwd=folder)
            assert (done.returncode, done.stdout) == (2, "")
            assert "--overwrite" in done.stderr
        assert (folder / "a-key.yml").read_text() == "mine"
        assert workflows("pull", made.id, "--overwrite", url=server.url, cwd=folder).returncode == 0
        assert "you said" in (folder / "a-key.yml").read_text()
        assert sorted(path.name for path in folder.iterdir()) == ["a-key.yml", "echo.yml"]

    @pytest.mark.parametrize(
        ("output", "said"),
        [("", "-o needs"), ("-", "-o needs"), ("new/", "folder"), (".", "folder"), ("/dev/null", "device")],
    )
    def test_what_is_no_file(self, output: str, said: str, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        for more in ([], ["--overwrite"]):
            done = workflows("pull", made.id, "-o", output, *more, url=server.url, cwd=folder)
            assert (done.returncode, done.stdout) == (2, "")
            assert said in done.stderr
        assert [path.name for path in folder.iterdir()] == ["echo.yml"]

    def test_a_long_key_is_a_file_name(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml", key="鍵" * 100)
        done = workflows("pull", made.id, url=server.url, cwd=folder)
        assert done.stdout == "鍵" * 33 + ".yml\n"

    def test_an_odd_workflow_is_shown_as_far_as_can_be(self) -> None:
        odd = {"workflow_display_name": 5, "blocks": [{"block_id": 7, "block_archetype_id": "x"}], "tags": 1}
        whole = {"block_id": 7, "block_archetype_id": "x", "block_display_name": 1}
        with Server(json_answer({"data": stored(1, workflow_key=5, workflow_config=odd)})) as server:
            assert "name      5\n" in workflows("get", "wf_1", url=server.url).stdout
        with Server(json_answer({"data": stored(1, workflow_config=odd | {"blocks": [whole]})})) as server:
            assert "blocks    7\n" in workflows("get", "wf_1", url=server.url).stdout

    def test_a_folder_that_is_not_there(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        done = workflows("pull", made.id, "-o", "no/where.yml", url=server.url, cwd=folder)
        assert done.returncode == 2
        assert "no/where.yml" in done.stderr

    @pytest.mark.parametrize("action", ["get", "pull", "run", "delete"])
    @pytest.mark.parametrize(
        ("named", "code", "said"),
        [
            ("", 2, "WORKFLOW must not be empty"),
            ("..", 2, "'..'"),
            ("a/b", 2, "no workflow has the key 'a/b'"),
            ("a?x=1", 2, "no workflow has the key 'a?x=1'"),
            ("schlüssel 鍵", 2, "no workflow has the key 'schlüssel 鍵'"),
            ("wf_schlüssel", 2, '"wf_schlüssel"'),
            ("key:", 2, "WORKFLOW must have a key after 'key:'"),
        ],
    )
    def test_strange_ids(
        self, action: str, named: str, code: int, said: str, client: Scout, server: LocalScout
    ) -> None:
        done = workflows(action, named, *(["--yes"] if action == "delete" else []), url=server.url)

        assert done.returncode == code
        assert said in done.stderr
        assert done.stdout == ""


class TestDeploy:
    def test_created_then_unchanged_then_revised(self, client: Scout, server: LocalScout, folder: Path) -> None:
        def deploy(*more: object) -> dict[str, Any]:
            done = workflows("deploy", folder / "echo.yml", "--json", *more, url=server.url)
            assert done.returncode == 0, done.stderr
            return dict(json.loads(done.stdout))

        first = deploy()
        assert (first["created"], first["changed"], first["workflow_key"]) == (True, True, "echo")
        assert deploy() == {**first, "created": False, "changed": False}
        forced = deploy("--force")
        assert (forced["created"], forced["changed"], forced["workflow_id"]) == (False, True, first["workflow_id"])
        (folder / "echo.yml").write_text(ECHO.replace("you said", "you say"))
        revised = deploy()
        assert revised["changed"] is True
        assert revised["revision_id"] != forced["revision_id"]
        other = deploy("--key", "another")
        assert other["created"] is True
        assert other["workflow_id"] != first["workflow_id"]

        said = workflows("deploy", folder / "echo.yml", "--key", "third", url=server.url).stdout
        assert said.startswith("created wf_")

    def test_a_file_that_is_wrong(self, client: Scout, server: LocalScout, folder: Path) -> None:
        (folder / "bad.yml").write_text("workflow_key: a\nworkflow_config:\n  blocks: {}\n")
        done = workflows("deploy", "bad.yml", url=server.url, cwd=folder)
        assert done.returncode == 2
        assert "bad.yml, line 3" in done.stderr

        (folder / "bare.yml").write_text("blocks: []\n")
        done = workflows("deploy", "bare.yml", url=server.url, cwd=folder)
        assert done.returncode == 2
        assert "key" in done.stderr
        assert server.requests == []

    def test_what_may_have_been_done_is_told(self, folder: Path) -> None:
        with Server(close_unanswered) as server:
            done = workflows("deploy", folder / "echo.yml", url=server.url)

        assert done.returncode == 3
        assert "may have been done all the same" in done.stderr
        assert "the run may" not in done.stderr
        assert len(server.requests) == 1


def take_terminal() -> None:
    """Make stdin the terminal of this process, so that Ctrl-C on it reaches the process."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class TestKeys:
    """A word that does not look like an id is a key; `key:NAME` always is."""

    @pytest.mark.parametrize("named", ["echo", "key:echo"])
    def test_every_action_takes_a_key(self, named: str, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")

        assert made.id in workflows("get", named, url=server.url).stdout
        assert workflows("pull", named, "-o", "pulled.yml", url=server.url, cwd=folder).returncode == 0
        assert workflows("run", named, "--input", "text=Hi", url=server.url).stdout == "you said Hi\n"
        assert workflows("run", named, "--input", "text=Hi", "--stream", url=server.url).stdout == "you said Hi\n"
        done = workflows("delete", named, "--yes", "--json", url=server.url)
        assert json.loads(done.stdout)["workflow_id"] == made.id
        assert [*client.workflows.list()] == []

    def test_a_key_that_looks_like_an_id(self, client: Scout, server: LocalScout, folder: Path) -> None:
        client.workflows.create(folder / "echo.yml", key="wf_1")

        assert workflows("get", "wf_1", url=server.url).returncode == 2
        assert workflows("get", "key:wf_1", url=server.url).returncode == 0

    @pytest.mark.parametrize("action", ["get", "pull", "run", "delete"])
    def test_a_misspelt_key(self, action: str, client: Scout, server: LocalScout, folder: Path) -> None:
        client.workflows.create(folder / "echo.yml")
        done = workflows(action, "ecko", *(["--yes"] if action == "delete" else []), url=server.url)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "scout: no workflow has the key 'ecko'; did you mean 'echo'?\n"

    @pytest.mark.parametrize("action", ["get", "pull", "run", "delete"])
    def test_a_file_is_no_key(self, action: str, folder: Path) -> None:
        with refused_url() as url:  # nothing is sent
            done = workflows(action, "echo.yml", *(["--yes"] if action == "delete" else []), url=url, cwd=folder)

        assert (done.returncode, done.stdout) == (2, "")
        assert "echo.yml is a file, and a stored workflow is meant; scout run runs a file" in done.stderr


class TestDelete:
    def test_yes_deletes_without_a_question(self, client: Scout, server: LocalScout) -> None:
        made = client.workflows.create({}, key="gone")
        done = workflows("delete", made.id, "--yes", url=server.url)

        assert (done.returncode, done.stdout, done.stderr) == (0, "Workflow deleted\n", "")
        assert list(client.workflows.list()) == []

    def test_a_server_that_says_nothing_to_it(self) -> None:
        with Server(answer(204, content_type=None)) as server:
            assert workflows("delete", "wf_1", "--yes", url=server.url).stdout == "deleted wf_1\n"
        with Server(json_answer({"detail": "gone"})) as server:
            told = json.loads(workflows("delete", "wf_1", "--yes", "--json", url=server.url).stdout)
        assert told == {"workflow_id": "wf_1", "deleted": True, "detail": "gone"}
        with Server(answer(200, "<title>Sign in</title>", content_type="text/html")) as server:
            done = workflows("delete", "wf_1", "--yes", url=server.url)
        assert (done.returncode, done.stdout) == (3, "")
        assert "Sign in" in done.stderr

    def test_without_a_terminal_it_needs_yes(self, client: Scout, server: LocalScout) -> None:
        made = client.workflows.create({}, key="kept")
        done = workflows("delete", made.id, url=server.url)

        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert len(list(client.workflows.list())) == 1

    @pytest.mark.parametrize(
        ("reply", "is_gone", "code"),
        [
            *((b"y\n", True, 0), (b"YES\n", True, 0), (b"n\n", False, 2), (b"\n", False, 2), (b"yep\n", False, 2)),
            *((b"\x04", False, 2), (b"\x03", False, 130)),
        ],
    )
    def test_on_a_terminal_it_asks(
        self, reply: bytes, is_gone: bool, code: int, client: Scout, server: LocalScout
    ) -> None:
        pty = pytest.importorskip("pty")
        made = client.workflows.create({"workflow_display_name": "Precious"}, key="gone")
        ours, theirs = pty.openpty()
        with subprocess.Popen(
            command("delete", made.id),
            env=environment(server.url),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            preexec_fn=take_terminal,
        ) as process:
            os.close(theirs)
            said = b""
            until = time.monotonic() + PATIENCE
            while b"[y/N]" not in said and time.monotonic() < until:
                said += os.read(ours, 1000)
            os.write(ours, reply)
            assert process.wait(PATIENCE) == code
        os.close(ours)
        assert f"delete {made.id} gone Precious and its revisions?".encode() in said
        assert [each.key for each in client.workflows.list()] == ([] if is_gone else ["gone"])


class TestRun:
    def test_the_answer_is_on_stdout(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        done = workflows("run", made.id, "--input", "text=Hi", url=server.url)

        assert (done.returncode, done.stdout) == (0, "you said Hi\n")
        assert done.stderr.startswith("scout: run run_")
        assert "stand-in" not in done.stderr

    def test_stream_and_json(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        done = workflows("run", made.id, "--input", "text=Hi", "--stream", url=server.url)
        assert done.stdout == "you said Hi\n"
        done = workflows("run", made.id, "--input", "text=Hi", "--json", url=server.url)
        assert json.loads(done.stdout)["output"] == "you said Hi"
        done = workflows("run", made.id, "--input", "text=Hi", "--json", "--stream", url=server.url)
        assert json.loads(done.stdout.splitlines()[-1])["name"] == "workflow_run_completed"

    def test_drafts_and_revisions(self, client: Scout, server: LocalScout, folder: Path) -> None:
        made = client.workflows.create(folder / "echo.yml")
        (folder / "echo.yml").write_text(ECHO.replace("you said", "you say"))
        client.workflows.update(made.id, folder / "echo.yml")

        def said(*options: str) -> str:
            return workflows("run", made.id, "--input", "text=Hi", *options, url=server.url).stdout

        assert said() == "you said Hi\n"
        assert said("--environment", "console") == "you say Hi\n"
        assert said("--environment", "console", "--revision-id", made.revision_id) == "you said Hi\n"
        assert workflows("run", made.id, "--revision-id", "no", url=server.url).returncode == 2

    def test_a_run_that_fails(self, client: Scout, server: LocalScout, folder: Path) -> None:
        (folder / "echo.yml").write_text(ECHO.replace("{{ inputs.text }}", "{{ 1 / 0 }}"))
        made = client.workflows.create(folder / "echo.yml")
        assert workflows("run", made.id, url=server.url).returncode == 1


@pytest.mark.parametrize("action", ["list", "get", "pull", "deploy", "delete", "run"])
def test_help_and_a_missing_key(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_here("workflows", action, "--help", env=os.environ)
    assert done.returncode == 0
    assert "--base-url" in done.stdout

    what = [] if action == "list" else ["--yes", "x"] if action == "delete" else ["x"]
    done = run_here("workflows", action, *what, env=os.environ)
    assert done.returncode == 2
    assert "SCOUT_API_KEY" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_leads_nowhere(closed: str) -> None:
    with Server(json_answer(page(stored()))) as server:
        line = f'"$@" {closed}'
        done = subprocess.run(
            ["sh", "-c", line, "sh", *command("list")],
            env=environment(server.url),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 0
    assert done.stderr == ""
    assert ("wf_1" in done.stdout) is (" >&-" not in f" {closed}")


def test_an_interrupt_stops_a_list_at_once() -> None:
    with Server(close_unanswered) as server:
        process = subprocess.Popen(
            command("list", "--retries", "100000"),
            env=environment(server.url),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        server.wait_until(lambda: server.hits > 1)  # it has come as far as a retry
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        process.communicate()

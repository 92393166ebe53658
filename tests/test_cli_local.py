"""What the local Scout is told on the command line: by `scout local`, and by `scout run --local`."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from commands import PATIENCE, Done, command, run_here
from servers import Server, json_answer

from scout import RateLimitError, Scout
from scout.local import LocalScout

ResultT = TypeVar("ResultT")
MODEL_KEY = "secret_model_key"
ROOT = Path(__file__).parent.parent
HELLO = ROOT / "examples/hello/workflow.yml"
SERP = """\
workflow_key: search
workflow_config:
  blocks:
    - block_id: found
      block_display_name: Found
      block_archetype_id: com.scoutos.serp
      is_output: true
      block_inputs: {query: "{{ _env.WHO }}"}
"""


def scout(*args: object, **env: str) -> Done:
    return run_here(*args, env={**os.environ, **env})


@contextlib.contextmanager
def local(*args: object, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`scout local` in a process of its own: its address, and the process."""
    process = subprocess.Popen(
        command("local", "--port", 0, *args),
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"SCOUT_BASE_URL=(\S+)", line)
        assert match, process.stderr and process.stderr.read()
        yield match[1], process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)


def stopped(process: subprocess.Popen[str], kind: signal.Signals = signal.SIGINT) -> str:
    """Stop it, as Ctrl-C does; return what it said."""
    process.send_signal(kind)
    return process.communicate(timeout=PATIENCE)[1]


def children_of(pid: int) -> list[str]:
    """The processes that a process has started, with any of its threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [child for task in tasks for child in (task / "children").read_text().split()]


def until(happens: Callable[[], ResultT]) -> ResultT:
    """What a function gives once that is something."""
    ends_at = time.monotonic() + PATIENCE
    while not (result := happens()):
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.02)
    return result


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "search.yml").write_text(SERP)
    (tmp_path / "stubs.yml").write_text("com.scoutos.serp: results\n")
    (tmp_path / ".env").write_text("# mine\nWHO=Ada\n")
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello/workflow.yml").write_text("blocks: []\n")
    (tmp_path / "hello/other.yml").write_text("not: [a workflow")
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


class TestServer:
    @pytest.mark.packaging  # `scout local`, a server of its own
    def test_a_folder_of_workflows_with_its_stubs(self, folder: Path) -> None:
        with local("--workflows", folder, "--env-file", folder / ".env") as (url, process):
            with Scout("any", base_url=url) as client:
                ids = {each.key: each.id for each in client.workflows.list()}
                assert list(ids) == ["hello", "search"]
                assert client.workflows.execute(ids["search"]).text == "results"
            said = stopped(process)
        assert f"workflow search is {ids['search']}" in said
        assert re.search(rf"\d\d:\d\d:\d\d POST /v2/workflows/{ids['search']}/execute 200 0\.\d+ s", said)

    def test_a_failed_run_and_an_unused_stub_are_seen_in_its_log(self, tmp_path: Path) -> None:
        (tmp_path / "search.yml").write_text(SERP)
        (tmp_path / "stubs.yml").write_text("anwser: x\n")
        with local("--stubs", tmp_path / "stubs.yml") as (url, process):
            with Scout("any", base_url=url) as client:
                client.execute(tmp_path / "search.yml", check=False)
            said = stopped(process)
        assert re.search(r' /v2/workflows/execute 200 [0-9.]+ s, the run failed: Block "found" failed: the local', said)
        assert "no block has used these stubs: anwser;" in said

    def test_a_store_outlives_it(self, folder: Path) -> None:
        arguments = ("--workflows", folder, "--store", folder / "scout.db")
        with local(*arguments) as (url, process):
            with Scout("any", base_url=url) as client:
                kept = client.workflows.create({}, key="kept")
                first = {each.key: each.revision_id for each in client.workflows.list()}
            stopped(process)
        with local(*arguments) as (url, _), Scout("any", base_url=url) as client:
            assert client.workflows.get(kept.id).key == "kept"
            assert {each.key: each.revision_id for each in client.workflows.list()} == first

    def test_faults(self) -> None:
        with local("--fault", "status=429,retry_after=0.01,times=4", "--fault", "delay=0.1") as (url, process):
            with Scout("any", base_url=url) as client:
                with pytest.raises(RateLimitError):
                    client.with_options(rate_limit_timeout=0).workflows.get("a")
                began = time.monotonic()
                assert client.execute(HELLO, {"user_message": "Hi"}).ok
                assert time.monotonic() - began >= 0.1
            assert stopped(process).count(" 429 ") == 4

    @pytest.mark.timing
    def test_it_stops_within_a_second_with_open_streams(self) -> None:
        with local("--fault", "stall_after=1") as (url, process):
            body = {"workflow_config": {}, "streaming": True}
            arrived = threading.Barrier(6)

            def follow() -> None:
                headers = {"authorization": "Bearer x"}
                with (
                    contextlib.suppress(httpx.HTTPError),
                    httpx.stream("POST", f"{url}/v2/workflows/execute", json=body, headers=headers) as response,
                ):
                    for _ in response.iter_raw():
                        arrived.wait(PATIENCE)

            threads = [threading.Thread(target=follow) for _ in range(5)]
            for thread in threads:
                thread.start()
            arrived.wait(PATIENCE)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 0
            assert time.monotonic() - began < 1.0
            for thread in threads:
                thread.join(PATIENCE)

    @pytest.mark.skipif(os.name != "posix", reason="a shell starts it")
    def test_a_script_can_stop_what_it_has_started(self, tmp_path: Path) -> None:
        # Background jobs of scripts ignore Ctrl-C, unless they say otherwise.
        script = '"$@" > address & until grep -q export address; do sleep 0.1; done; kill -INT $!; wait $!'
        done = subprocess.run(
            ["sh", "-c", script, "sh", *command("local", "--port", 0)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "scout: local Scout stopped")

    @pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
    def test_it_leaves_nothing_behind(self, kind: signal.Signals, folder: Path) -> None:
        if not Path("/proc/self/task").is_dir():
            pytest.skip("there is no /proc here")
        endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        block = {
            "block_id": "a",
            "block_archetype_id": "com.scoutos.text",
            "block_display_name": "a",
            "block_inputs": {"text": endless},
        }
        body = {"workflow_config": {"blocks": [block]}}
        request = {"json": body, "headers": {"authorization": "Bearer x"}, "timeout": PATIENCE}
        with (
            local("--store", folder / "scout.db") as (url, process),
            concurrent.futures.ThreadPoolExecutor() as threads,
        ):
            pending = threads.submit(httpx.post, f"{url}/v2/workflows/execute", **request)
            children = until(lambda: children_of(process.pid))
            said = stopped(process, kind)
            assert process.returncode == 0
            assert isinstance(pending.exception(PATIENCE), httpx.HTTPError)
        assert " left " in said
        assert until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        assert [path.name for path in folder.glob("scout.db*")] == ["scout.db"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--workflows", "nowhere"], "nowhere, which is not a folder"),
            (["--workflows", "bad"], "broken.yml"),
            (["--workflows", "twice"], "the same key"),
            (["--store", "no/where.db"], "unable to open"),
            (["--store", "search.yml"], "not a database"),
            (["--stubs", "nowhere.yml"], "nowhere.yml"),
            (["--stubs", "search.txt"], "search.txt"),
            (["--env-file", "nowhere"], "cannot read nowhere"),
            (["--env-file", "bad.env"], "bad.env, line 2"),
            (["--fault", "colour=red"], "colour=red"),
            (["--llm-base-url", "not a url"], "--llm-base-url must be"),
            (["--llm-api-key-env", "NOT_SET"], "NOT_SET, which is not set"),
        ],
    )
    def test_what_cannot_work(self, arguments: list[str], said: str, folder: Path, monkeypatch: Any) -> None:
        (folder / "bad").mkdir()
        (folder / "bad/broken.yml").write_text("blocks: [")
        (folder / "twice").mkdir()
        (folder / "twice/a.yml").write_text(SERP)
        (folder / "twice/b.yml").write_text(SERP)
        (folder / "bad.env").write_text("A=1\nthis is none\n")
        (folder / "search.txt").write_text("- a list\n")
        monkeypatch.chdir(folder)
        done = scout("local", "--port", 0, *arguments)

        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr


class TestRun:
    def test_stubs_beside_the_workflow(self, folder: Path) -> None:
        arguments = ("run", folder / "search.yml", "--local", "--env-file", folder / ".env")
        assert scout(*arguments).stdout == "results\n"
        (folder / "mine.yml").write_text("found: [mine]\n")
        assert scout(*arguments, "--stubs", folder / "mine.yml").stdout == "mine\n"
        (folder / "stubs.yml").unlink()
        done = scout(*arguments)
        assert done.returncode == 1
        assert "--stubs" in done.stderr

    def test_a_name_that_is_not_in_the_file(self, folder: Path) -> None:
        done = scout("run", folder / "search.yml", "--local", WHO="from the environment")
        assert done.returncode == 1
        assert "WHO" in done.stderr
        assert "from the environment" not in done.stderr

    def test_faults(self) -> None:
        done = scout("run", HELLO, "--local", "--input", "user_message=Hi", "--fault", "cut_after=3", "--stream")
        assert done.returncode == 3
        assert "ended before" in done.stderr

    def test_a_language_model_of_ones_own(self) -> None:
        reply = {"choices": [{"message": {"role": "assistant", "content": "from the model"}, "finish_reason": "stop"}]}
        with Server(json_answer(reply)) as server:
            arguments = ("run", HELLO, "--local", "--input", "user_message=Hi", "--llm-base-url", f"{server.url}/v1")
            done = scout(*arguments, "--llm-api-key-env", "MODEL_KEY", MODEL_KEY=MODEL_KEY)

        assert done.stdout == "from the model\n"
        assert MODEL_KEY not in done.stderr
        (request,) = server.requests
        assert request.path == "/v1/chat/completions"
        assert request.headers["authorization"] == f"Bearer {MODEL_KEY}"
        asked = json.loads(request.body)
        assert asked["model"] == "gpt-4o"
        assert asked["messages"][-1] == {"role": "user", "content": "Hi"}

    @pytest.mark.parametrize("option", ["--stubs", "--env-file", "--fault", "--llm-base-url", "--llm-api-key-env"])
    def test_they_are_for_the_local_scout(self, option: str) -> None:
        done = scout("run", HELLO, option, "status=500", SCOUT_API_KEY="secret_x")
        assert done.returncode == 2
        assert f"{option} is for the local Scout" in done.stderr


class TestCassettes:
    @pytest.mark.packaging  # record and replay from the command
    def test_a_run_is_kept_and_given_again(self, tmp_path: Path) -> None:
        run = ("run", HELLO, "--input", "user_message=Hi")
        kept = tmp_path / "run.jsonl"
        for stream in ((), ("--stream",)):
            first = scout(*run, *stream, "--local", "--record", kept)
            again = scout(*run, *stream, "--replay", kept)
            slowly = scout(*run, *stream, "--replay", kept, "--real-time")
            assert first.returncode == again.returncode == slowly.returncode == 0, again.stderr
            assert first.stdout == again.stdout == slowly.stdout
            kept.unlink()

    def test_a_stored_workflow_too(self, tmp_path: Path) -> None:
        kept = tmp_path / "run.jsonl"
        with LocalScout(workflows={"empty": {}}) as server:
            run = ("workflows", "run", server.workflow_ids["empty"], "--json")
            first = scout(*run, "--record", kept, SCOUT_BASE_URL=server.url, SCOUT_API_KEY="secret_recorded")
        again = scout(*run, "--replay", kept)
        assert (first.returncode, first.stdout) == (0, again.stdout)
        assert "secret_recorded" not in kept.read_text()

    def test_a_failure_becomes_a_file(self, tmp_path: Path) -> None:
        run = ("run", HELLO, "--input", "user_message=Hi", "--stream")
        kept = tmp_path / "run.jsonl"
        first = scout(*run, "--local", "--fault", "cut_after=4", "--record", kept)
        again = scout(*run, "--replay", kept)
        assert first.returncode == again.returncode == 3
        assert first.stdout == again.stdout

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--record", "there.jsonl"], "exists already"),
            (["--record", "no/where.jsonl"], "cannot be written"),
            (["--replay", "nowhere.jsonl"], "cannot be read"),
            (["--replay", "there.jsonl"], "there.jsonl, line 1"),
            (["--real-time"], "--real-time goes with --replay"),
            (["--record", "a", "--replay", "b"], "not allowed with"),
            (["--local", "--replay", "there.jsonl"], "without --local"),
        ],
    )
    def test_what_cannot_work(self, arguments: list[str], said: str, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "there.jsonl").write_text("mine\n")
        monkeypatch.chdir(tmp_path)
        done = scout("run", HELLO, "--input", "user_message=Hi", *arguments, SCOUT_API_KEY="secret_x")
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert (tmp_path / "there.jsonl").read_text() == "mine\n"

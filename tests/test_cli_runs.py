"""`scout runs`, and what the command says after an unknown outcome: on the local Scout, and on a scripted server."""

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from commands import PATIENCE, Done, run_here
from servers import (
    Behaviour,
    Peer,
    Server,
    answer,
    chunked,
    close_unanswered,
    json_answer,
    refused_url,
    route,
)

from scout import Run, Scout
from scout.local import Fault, LocalScout

KEY = "secret_planted_key"
ECHO: dict[str, Any] = {
    "workflow_display_name": "Echo",
    "blocks": [
        {
            "block_id": "echo",
            "block_display_name": "Echo",
            "block_archetype_id": "com.scoutos.text",
            "is_output": True,
            "block_inputs": {"text": "you said {{ inputs.text }}"},
        }
    ],
}
BROKEN: dict[str, Any] = {
    "blocks": [{**ECHO["blocks"][0], "block_inputs": {"text": "{{ 1 / 0 }}"}}],
}
NASTY = "\x1b[31mred\x1b[0m \x07 two\nlines \u202eevil"


def environment(url: str) -> dict[str, str]:
    return {"SCOUT_BASE_URL": url, "SCOUT_API_KEY": KEY, "PATH": os.environ["PATH"], "COLUMNS": "72", "TZ": "UTC"}


def scout(*args: object, url: str, cwd: Path | None = None) -> Done:
    """Run the command, and see that it does not show the key."""
    done = run_here(*args, env=environment(url), cwd=cwd)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def runs(*args: object, url: str, cwd: Path | None = None) -> Done:
    return scout("runs", *args, url=url, cwd=cwd)


# --- A scripted server --------------------------------------------------------------------------------------------


def log(number: int = 1, **more: Any) -> dict[str, Any]:
    block = {
        "block_id": "echo",
        "block_archetype_id": "com.scoutos.text",
        "block_type": "com.scoutos.text",
        "status": "completed",
        "block_inputs": {},
        "config": {"block_id": "echo", "is_output": True},
        "block_output": "you said Hi",
        "cost": 0.0025,
        "timestamp_start": "2026-11-27T09:30:00.100Z",
        "timestamp_end": "2026-11-27T09:30:01.350Z",
    }
    return {
        "workflow_display_name": "Echo",
        "workflow_run_id": f"run_{number}",
        "workflow_id": "wf_1",
        "status": "completed",
        "session_id": f"sess_{number}",
        "environment": "staging",
        "revision_id": "rev_1",
        "message": "",
        "cost": 0.0025,
        "blocks": {"echo": block},
        "output": "you said Hi",
        "elapsed_time_ms": 1500,
        "timestamp_start": "2026-11-27T09:30:00Z",
        "timestamp_end": "2026-11-27T09:30:01.500Z",
        **more,
    }


RUNNING = log(status="running", timestamp_end=None, elapsed_time_ms=None, output=None, blocks={}, cost=None)
FAILED = log(status="failed", message="the model is gone", output=None, blocks={})
NO_RUN = json_answer({"detail": "no such run"}, 404)


def page(*found: dict[str, Any], next_cursor: str | None = None, is_whole: bool = True) -> Behaviour:
    end = {"final": True, "has_more": next_cursor is not None, "next_cursor": next_cursor}
    rows = [*found, end] if is_whole else found
    return chunked([f"data: {json.dumps(row)}\n\n".encode() for row in rows], content_type="text/event-stream")


def queries(server: Server) -> list[dict[str, str]]:
    return [request.query for request in server.requests]


class TestList:
    def test_a_table_of_all_pages_in_the_order_of_the_server(self) -> None:
        first = page(log(2, session_id="s"), RUNNING, next_cursor="more")
        with Server([first, page(FAILED)]) as server:
            done = runs("list", "wf_1", url=server.url)

        assert done.stdout.splitlines() == [
            "STARTED                    STATUS     DURATION  COST    ENVIRONMENT  RUN    SESSION",
            "2026-11-27 09:30:00+00:00  completed  1.50 s    0.0025  staging      run_2  s",
            "2026-11-27 09:30:00+00:00  running                      staging      run_1  sess_1",
            "2026-11-27 09:30:00+00:00  failed     1.50 s    0.0025  staging      run_1  sess_1",
        ]
        assert (done.returncode, done.stderr) == (0, "")
        assert [query.get("cursor") for query in queries(server)] == [None, "more"]
        assert {query["summary_only"].lower() for query in queries(server)} == {"true"}

    def test_what_a_summary_leaves_out_is_an_empty_cell(self) -> None:
        with Server(page({"workflow_run_id": "run_1", "status": "cancelled"}, log(2))) as server:
            done = runs("list", "wf_1", url=server.url)

        assert done.stdout.splitlines()[1].split() == ["cancelled", "run_1"]

    def test_json_has_whole_logs_as_they_came(self) -> None:
        huge = json.loads("123456789012345678901234567890")
        found = [log(2, a_field_that_nobody_knows={"z": huge}), FAILED]
        with Server(page(*found)) as server:
            done = runs("list", "wf_1", "--json", url=server.url)

        assert json.loads(done.stdout) == found
        assert len(done.stdout.splitlines()) == 3
        assert queries(server)[0].get("summary_only", "false").lower() == "false"

    def test_a_limit_is_a_total(self) -> None:
        with Server([page(log(1), log(2), next_cursor="a"), page(log(3), log(4), next_cursor="b")]) as server:
            done = runs("list", "wf_1", "--limit", 3, "--json", url=server.url)

        assert [each["workflow_run_id"] for each in json.loads(done.stdout)] == ["run_1", "run_2", "run_3"]
        assert server.hits == 2

    def test_filters_go_to_the_server(self) -> None:
        options = ("--since", "2h", "--status", "failed", "--session-id", "s 1")
        with Server(page()) as server:
            done = runs("list", "wf_1", *options, url=server.url)
            runs("list", "wf_1", "--until", "2026-11-27T10:00:00+01:00", url=server.url)

        assert done.stderr == "scout: the log has no such run\n"
        query, other = queries(server)
        assert (query["workflow_id"], query["status"], query["session_id"]) == ("wf_1", "failed", "s 1")
        since = datetime.fromisoformat(query["start_date"])
        assert timedelta(hours=2) <= datetime.now(since.tzinfo) - since < timedelta(hours=2, minutes=1)
        assert datetime.fromisoformat(other["end_date"]) == datetime.fromisoformat("2026-11-27T10:00:00+01:00")

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [("30s", 30), ("1.5m", 90), ("3d", 259200), ("1w", 604800)],
    )
    def test_each_unit_of_time(self, text: str, seconds: float) -> None:
        with Server(page()) as server:
            assert runs("list", "wf_1", "--since", text, url=server.url).returncode == 0

        since = datetime.fromisoformat(queries(server)[0]["start_date"])
        assert seconds <= (datetime.now(since.tzinfo) - since).total_seconds() < seconds + 60

    def test_a_date_is_in_the_zone_of_this_machine(self) -> None:
        with Server(page()) as server:
            assert runs("list", "wf_1", "--since", "2026-11-26", url=server.url).returncode == 0

        since = datetime.fromisoformat(queries(server)[0]["start_date"])
        assert since == datetime(2026, 11, 26).astimezone()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["--since", "yesterday"], "argument --since: 'yesterday' is not a time such as 30m, 2h, 3d, 2026-11-27"),
            (["--since", "2 h"], "'2 h' is not a time"),
            (["--since", ""], "'' is not a time"),
            (["--until", "99999999999d"], "'99999999999d' is not a time"),
            (["--until", "0001-01-01T00:00:00+99:00"], "is not a time"),
            (["--since", "2026-02-30"], "'2026-02-30' is not a time"),
            (["--since", "1h", "--until", "2h"], "is later than --until"),
            (["--status", "faild"], "none of completed, failed, running; did you mean failed?"),
            (["--session-id", ""], "argument --session-id: must not be empty"),
            (["--limit", "0"], "--limit must be a whole number"),
            (["--limt", "1"], "there is no option --limt; did you mean --limit?"),
        ],
    )
    def test_what_cannot_be_asked_is_refused(self, options: list[str], said: str) -> None:
        with refused_url() as url:
            done = runs("list", "wf_1", *options, url=url)

        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr

    def test_no_runs(self) -> None:
        with Server(page()) as server:
            done = runs("list", "wf_1", url=server.url)
            as_json = runs("list", "wf_1", "--json", url=server.url)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "scout: the log has no runs\n")
        assert as_json.stdout == "[]\n"

    def test_a_page_without_an_end_is_an_error(self) -> None:
        with Server(page(log(), is_whole=False)) as server:
            done = runs("list", "wf_1", "--retries", 0, url=server.url)

        assert done.returncode == 3

    def test_control_characters_of_the_server_stay_in_their_cells(self) -> None:
        with Server(page(log(session_id=NASTY, environment=NASTY, status=NASTY))) as server:
            done = runs("list", "wf_1", url=server.url)

        assert len(done.stdout.splitlines()) == 2
        assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout)


class TestShow:
    def test_the_output_the_blocks_and_the_rest(self) -> None:
        with Server(json_answer(log())) as server:
            done = runs("show", "wf_1", "run_1", url=server.url)

        assert done.stdout.startswith("you said Hi\n\n")
        assert "echo" in done.stdout
        assert done.stderr == (
            "scout: run run_1 completed in 1.50 s, cost 0.0025, staging, revision rev_1, session sess_1\n"
        )
        assert queries(server) == [{"workflow_id": "wf_1", "workflow_run_id": "run_1"}]

    def test_a_run_by_its_session_as_json(self) -> None:
        with Server(json_answer(log(more={"x": None}))) as server:
            done = runs("show", "wf_1", "--session-id", "sess_1", "--json", url=server.url)

        assert json.loads(done.stdout) == log(more={"x": None})
        assert queries(server) == [{"workflow_id": "wf_1", "session_id": "sess_1"}]

    def test_a_run_that_failed_is_shown_with_the_reason(self) -> None:
        with Server(json_answer(FAILED)) as server:
            done = runs("show", "wf_1", "run_1", url=server.url)

        assert (done.returncode, done.stdout) == (0, "the model is gone\n\n")
        assert done.stderr.startswith("scout: run run_1 failed in 1.50 s")

    def test_a_run_that_goes_on_is_shown(self) -> None:
        with Server(json_answer(RUNNING)) as server:
            done = runs("show", "wf_1", "run_1", url=server.url)

        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "scout: run run_1 running, staging, revision rev_1, session sess_1\n"

    def test_a_saved_run_is_one_for_the_other_commands(self, tmp_path: Path) -> None:
        with Server(json_answer(log())) as server:
            done = runs(
                "show", "wf_1", "run_1", "--save", "run.json", "--timeline", "a.svg", url=server.url, cwd=tmp_path
            )
        shown = scout("show", "run.json", "--timeline", "b.svg", url=server.url, cwd=tmp_path)
        again = scout("show", "run.json", url=server.url, cwd=tmp_path)

        assert (done.returncode, shown.returncode, done.stdout) == (0, 0, "")
        assert (tmp_path / "a.svg").read_text() == (tmp_path / "b.svg").read_text()
        assert again.stdout.startswith("you said Hi\n")
        run = Run.from_dict(json.loads((tmp_path / "run.json").read_text()))
        assert (run.id, run.session_id, run.output, run.price) == ("run_1", "sess_1", "you said Hi", 0.0025)

    def test_a_file_that_cannot_be_written_is_refused_before_the_request(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_text("mine")
        with Server(json_answer(log())) as server:
            done = runs("show", "wf_1", "run_1", "--save", "run.json", url=server.url, cwd=tmp_path)

        assert (done.returncode, server.hits, (tmp_path / "run.json").read_text()) == (2, 0, "mine")
        assert "--save run.json: exists already" in done.stderr

    def test_a_session_in_place_of_a_run_is_noticed(self) -> None:
        with Server(NO_RUN) as server:
            done = runs("show", "wf_1", "order-17", url=server.url)
            by_session = runs("show", "wf_1", "--session-id", "order-17", url=server.url)
        with Server(json_answer({"data": [], "next_cursor": None})) as server:
            no_workflow = runs("show", "key:nothing", "order-17", url=server.url)

        advice = "scout: if order-17 is a session and not a run, give it as --session-id order-17\n"
        assert done.stderr.endswith(advice)
        for other in (by_session, no_workflow):
            assert other.returncode == done.returncode == 2
            assert "if order-17" not in other.stderr

    @pytest.mark.parametrize("which", [[], ["run_1", "--session-id", "sess_1"]])
    def test_it_needs_one_way_to_name_the_run(self, which: list[str]) -> None:
        with refused_url() as url:
            done = runs("show", "wf_1", *which, url=url)

        assert done.returncode == 2
        assert "either RUN or --session-id ID" in done.stderr

    def test_a_run_that_is_not_in_the_log(self) -> None:
        with Server(NO_RUN) as server:
            done = runs("show", "wf_1", "run_9", "--json", url=server.url)

        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["type"], error["status"]) == (2, "NotFoundError", 404)


class TestFind:
    def test_a_run_that_completed_gives_its_output(self) -> None:
        with Server(json_answer(log())) as server:
            done = runs("find", "wf_1", "sess_1", url=server.url)
            as_json = runs("find", "wf_1", "sess_1", "--json", url=server.url)

        assert (done.returncode, done.stdout) == (0, "you said Hi\n")
        assert done.stderr.splitlines() == [
            "scout: asking the run log for session sess_1, for at most 30 s",
            "scout: run run_1 completed in 1.50 s, cost 0.0025, staging, revision rev_1, session sess_1",
        ]
        assert (as_json.returncode, json.loads(as_json.stdout)) == (0, log())

    def test_a_run_that_failed(self) -> None:
        with Server(json_answer(FAILED)) as server:
            done = runs("find", "wf_1", "sess_1", url=server.url)
            as_json = runs("find", "wf_1", "sess_1", "--json", url=server.url)

        assert (done.returncode, done.stdout, as_json.returncode) == (1, "", 1)
        assert done.stderr.endswith("\nscout: the model is gone\n")
        assert json.loads(as_json.stdout) == FAILED

    def test_a_run_that_comes_late(self) -> None:
        with Server([NO_RUN, json_answer(RUNNING), json_answer(log())]) as server:
            done = runs("find", "wf_1", "sess_1", "--within", 20, url=server.url)

        assert (done.returncode, done.stdout, server.hits) == (0, "you said Hi\n", 3)

    def test_a_run_that_is_still_running_at_the_end(self) -> None:
        with Server(json_answer(RUNNING)) as server:
            done = runs("find", "wf_1", "sess_1", "--within", 0.1, "--json", url=server.url)

        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["type"], error["exit_code"]) == (3, "RunNotFinishedError", 3)
        assert (error["session_id"], error["run"]["id"], error["run_may_have_started"]) == ("sess_1", "run_1", True)
        assert done.stderr.endswith("\nscout: run run_1 has not ended; ask again\n")

    def test_a_run_that_is_not_in_the_log_may_have_started(self) -> None:
        with Server(NO_RUN) as server:
            done = runs("find", "wf_1", "sess_9", "--within", 0.1, "--json", url=server.url)

        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["type"]) == (3, "RunNotFound")
        assert (error["session_id"], error["workflow_id"], error["run_may_have_started"]) == ("sess_9", "wf_1", True)
        assert "no run of session sess_9 yet; it may have started all the same, so ask again" in done.stderr

    def test_a_request_that_is_refused(self) -> None:
        with Server(answer(401)) as server:
            done = runs("find", "wf_1", "sess_1", url=server.url)

        assert (done.returncode, server.hits) == (2, 1)

    def test_a_log_that_does_not_say_which_output_is_that_of_the_run(self) -> None:
        found = log(output=None, blocks={})
        with Server(json_answer(found)) as server:
            done = runs("find", "wf_1", "sess_1", url=server.url)

        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.endswith("`scout runs show --json` has all of them\n")

    @pytest.mark.parametrize("within", ["-1", "nan", "inf", "soon"])
    def test_a_time_that_is_none_is_refused(self, within: str) -> None:
        with refused_url() as url:
            done = runs("find", "wf_1", "sess_1", "--within", within, url=url)

        assert done.returncode == 2
        assert "--within" in done.stderr
        assert "asking" not in done.stderr


# --- After an unknown outcome -------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[LocalScout]:
    lost = Fault(cut_after=1, match="/execute", times=1)
    with LocalScout(api_key=KEY, workflows={"echo": ECHO}, faults=[lost]) as server:
        yield server


def executes(server: LocalScout) -> int:
    return sum("/execute" in request.path for request in server.requests)


def command_in(done: Done) -> list[str]:
    (line,) = (line for line in done.stderr.splitlines() if "scout runs find" in line)
    assert line.startswith("scout: to find out what became of it: scout runs find ")
    return shlex.split(line.partition(": scout ")[2])


class TestAfterAnUnknownOutcome:
    def test_the_command_that_the_message_names_gives_the_answer(self, server: LocalScout) -> None:
        lost = scout("workflows", "run", "echo", "--input", "text=Hi", url=server.url)
        command = command_in(lost)
        found = scout(*command, url=server.url)

        assert (lost.returncode, lost.stdout) == (3, "")
        assert command[:3] == ["runs", "find", server.workflow_ids["echo"]]
        assert (found.returncode, found.stdout) == (0, "you said Hi\n")
        assert executes(server) == 1

    def test_the_json_of_the_error_holds_both_ids(self, server: LocalScout) -> None:
        options = ("--input", "text=Hi", "--session-id", "order 17", "--json")
        lost = scout("workflows", "run", "echo", *options, url=server.url)

        error = json.loads(lost.stdout)["error"]
        assert (error["workflow_id"], error["session_id"]) == (server.workflow_ids["echo"], "order 17")
        assert command_in(lost)[3:] == ["order 17"]

    def test_the_command_asks_the_same_server(self, server: LocalScout) -> None:
        with refused_url() as other:
            lost = scout("workflows", "run", "echo", "--input", "text=Hi", "--base-url", server.url, url=other)
            found = scout(*command_in(lost), url=other)

        assert (lost.returncode, found.returncode, found.stdout) == (3, 0, "you said Hi\n")

    def test_a_session_that_looks_like_an_option(self, server: LocalScout) -> None:
        lost = scout("workflows", "run", "echo", "--input", "text=Hi", "--session-id=-x", url=server.url)

        assert scout(*command_in(lost), url=server.url).returncode == 0

    def test_a_request_that_was_refused_needs_no_look(self) -> None:
        with Server(answer(403)) as server:
            done = scout("workflows", "run", "wf_1", url=server.url)

        assert (done.returncode, "runs find" in done.stderr) == (2, False)

    @pytest.mark.parametrize("options", [(), ("--local", "--fault", "cut_after=1")], ids=["config", "local"])
    def test_a_config_without_an_id_has_no_log(self, options: tuple[str, ...], tmp_path: Path) -> None:
        (tmp_path / "echo.json").write_text(json.dumps(ECHO))
        with Server(close_unanswered) as server:
            done = scout("run", "echo.json", "--input", "text=Hi", *options, url=server.url, cwd=tmp_path)

        assert (done.returncode, "runs find" in done.stderr) == (3, False)

    def test_resolve_gives_the_answer_of_the_run_that_was_sent_once(self, server: LocalScout, tmp_path: Path) -> None:
        options = ("--input", "text=Hi", "--resolve", 20, "--save", "run.json")
        done = scout("workflows", "run", "echo", *options, url=server.url, cwd=tmp_path)

        assert (done.returncode, done.stdout) == (0, "you said Hi\n")
        assert "; the run may have started, so the run log is asked, for at most 20 s\n" in done.stderr
        assert Run.from_dict(json.loads((tmp_path / "run.json").read_text())).output == "you said Hi"
        assert executes(server) == 1

    def test_resolve_that_finds_nothing_leaves_the_error(self) -> None:
        lost = route(lambda request: close_unanswered if "/execute" in request.path else NO_RUN)
        with Server(lost) as server:
            done = scout("workflows", "run", "wf_1", "--resolve", 0.2, url=server.url)

        assert done.returncode == 3
        assert "which does not mean that it did not start\n" in done.stderr
        assert command_in(done)[2] == "wf_1"
        assert sum("/execute" in request.path for request in server.requests) == 1

    @pytest.mark.parametrize("option", ["--stream", "--timeline", "--session-id=mine"])
    def test_resolve_is_for_plain_runs_in_a_session_of_their_own(self, option: str) -> None:
        with refused_url() as url:
            done = scout("workflows", "run", "wf_1", "--resolve", 20, option, url=url)

        assert done.returncode == 2
        assert "--resolve goes without --stream, --timeline and --session-id" in done.stderr

    def test_a_batch_names_the_command_for_rows_that_may_have_run(self, tmp_path: Path) -> None:
        (tmp_path / "rows.csv").write_text("text\nHi\n")
        with Server(close_unanswered) as server:
            done = scout("batch", "wf_1", "rows.csv", "-o", "out.jsonl", url=server.url, cwd=tmp_path)

        assert "scout: to find out what became of one: scout runs find wf_1 SESSION, with its" in done.stderr
        (journal,) = tmp_path.glob("*.journal")
        (result,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
        assert result["session_id"] in journal.read_text()

    @pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
    def test_ctrl_c_names_the_session_that_was_sent(self) -> None:
        def interrupt(peer: Peer) -> None:
            peer.request()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            peer.wait(PATIENCE)

        with Server(interrupt) as server:
            done = scout("workflows", "run", "wf_1", "--json", url=server.url)

        (query,) = queries(server)
        error = json.loads(done.stdout)["error"]
        assert command_in(done) == ["runs", "find", "wf_1", query["session_id"]]
        assert (done.returncode, error["workflow_id"], error["session_id"]) == (130, "wf_1", query["session_id"])

    def test_a_stream_that_broke_can_be_found(self, server: LocalScout) -> None:
        lost = scout("workflows", "run", "echo", "--stream", url=server.url)

        assert lost.returncode == 3
        # The local Scout ends a run whose caller has gone, and its log says so.
        assert scout(*command_in(lost), "--within", 10, url=server.url).returncode in (0, 1)


def test_runs_of_the_local_scout_are_listed_shown_and_found_by_key(tmp_path: Path) -> None:
    with LocalScout(api_key=KEY, workflows={"echo": ECHO, "broken": BROKEN}) as server:
        look_at_runs(server, tmp_path)


def look_at_runs(server: LocalScout, folder: Path) -> None:
    with Scout(KEY, base_url=server.url) as client:
        client.workflows.execute("key:echo", {"text": "Ho"}, session_id="first")
        client.workflows.execute("key:echo", {"text": "Hi"}, session_id="second")
        client.workflows.execute("key:broken", {}, session_id="third", check=False)

    listed = runs("list", "echo", url=server.url)
    by_status = runs("list", "echo", "--status", "failed", url=server.url)
    shown = runs("show", "echo", "--session-id", "first", "--save", "run.json", url=server.url, cwd=folder)
    again = scout("show", "run.json", url=server.url, cwd=folder)
    failed = runs("find", "broken", "third", url=server.url)

    sessions = [line.split()[-1] for line in listed.stdout.splitlines()]
    assert sessions == ["SESSION", "second", "first"]
    assert by_status.stderr == "scout: the log has no such run\n"
    assert shown.stdout.startswith("you said Ho\n")
    assert again.stdout == shown.stdout
    assert (failed.returncode, failed.stdout) == (1, "")


def test_a_run_that_goes_on_is_found_when_it_has_ended() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def wait(_: Any, __: Any) -> str:
        begun.set()
        assert goes_on.wait(PATIENCE)
        return "at last"

    block = {**ECHO["blocks"][0], "block_archetype_id": "com.example.slow", "block_inputs": {}}
    slow = {"blocks": [block]}
    with (
        LocalScout(api_key=KEY, workflows={"slow": slow}, blocks={"com.example.slow": wait}) as server,
        Scout(KEY, base_url=server.url) as client,
        ThreadPoolExecutor() as pool,
    ):
        run = pool.submit(client.workflows.execute, server.workflow_ids["slow"], session_id="order-17")
        try:
            assert begun.wait(PATIENCE)
            early = runs("find", "slow", "order-17", "--within", 0, url=server.url)
            listed = runs("list", "slow", "--status", "running", url=server.url)
        finally:
            goes_on.set()
        assert run.result(PATIENCE).output == "at last"
        late = runs("find", "slow", "order-17", url=server.url)

    assert (early.returncode, early.stdout) == (3, "")
    assert early.stderr.endswith(" has not ended; ask again\n")
    assert listed.stdout.splitlines()[1].split()[-1] == "order-17"
    assert (late.returncode, late.stdout) == (0, "at last\n")

"""What can be done with a run on its page: run it again, and keep it. Over HTTP, by its forms and links."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from page_visitor import Visitor, typed_in
from servers import settled
from test_local_runs import WAIT, Gate, block
from test_local_workflows import Json

from scout import Scout
from scout.local import Access, Fault, LocalRequest, LocalRun, LocalScout, replay, traces
from scout.local.page import again

KEY = "a-key-of-this-test"
SECRET = "a-secret-of-the-server"
PROMPT = {"role": "user", "content": "{{ inputs.name }} {{ inputs.name }}"}


HELLO = {
    "workflow_display_name": "Hello",
    "blocks": [
        block("start", "com.scoutos.input", block_inputs={"items": []}),
        block("answer", "com.scoutos.llm", "start", block_inputs={"model": "gpt-4o", "prompt_items": [PROMPT]}),
    ],
}


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(scope="module")
def seen() -> list[Access]:
    return []


@pytest.fixture(scope="module")
def server(gate: Gate, seen: list[Access]) -> Iterator[LocalScout]:
    blocks = {WAIT: gate}
    with LocalScout(
        api_key=KEY, blocks=blocks, env={"TOKEN": SECRET}, workflows={"hello": HELLO}, on_access=seen.append
    ) as local:
        yield local


@pytest.fixture
def local(server: LocalScout, gate: Gate, seen: list[Access]) -> LocalScout:
    gate.open.clear()
    server.reset()
    seen.clear()
    return server


@pytest.fixture
def visitor(local: LocalScout) -> Iterator[Visitor]:
    visitor = Visitor(local, auth=("me", KEY))
    with visitor.http:
        yield visitor


def execute(local: LocalScout, workflow: str | Json = HELLO, inputs: Json | None = None, **options: Any) -> LocalRun:
    """Run a workflow as a client, and return the run."""
    with Scout(KEY, base_url=local.url) as scout:
        if isinstance(workflow, str):
            scout.workflows.execute(local.workflow_ids[workflow], inputs or {}, **options)
        else:
            scout.execute(workflow, inputs or {}, **options)
    return local.runs[-1]


def address(run: LocalRun) -> str:
    return f"/page/runs/{run.id}"


def run_again(visitor: Visitor, run: LocalRun, **changes: str) -> httpx.Response:
    return visitor.send(visitor.form(address(run), f"{address(run)}/again"), **changes)


def ended(local: LocalScout, number: int) -> LocalRun:
    """Wait for a run, and return it."""
    assert settled(lambda: len(local.runs) >= number)
    return local.runs[number - 1]


class TestRunAgain:
    def test_with_other_inputs_as_any_client(self, local: LocalScout, visitor: Visitor, seen: list[Access]) -> None:
        first = execute(local, HELLO, {"name": "Ann"}, session_id="mine")

        response = run_again(visitor, first, inputs='{\n"name": "Bob"}')

        second = ended(local, 2)
        assert (response.status_code, response.headers["location"]) == (303, address(second))
        assert second.output == "[gpt-4o stand-in] Bob Bob"
        before, after = (request.json for request in local.requests)
        assert after == {**before, "inputs": {"name": "Bob"}, "streaming": True}
        assert settled(lambda: [each.path for each in seen] == ["/v2/workflows/execute"] * 2)
        # A session of its own, so that the log of the first one stays what it was.
        assert first.answer["run"]["session_id"] == "mine" != second.answer["run"]["session_id"]
        assert "Bob" in visitor.page(address(second))

    def test_a_stored_workflow_in_its_environment(self, local: LocalScout, visitor: Visitor) -> None:
        first = execute(local, "hello", {"name": "Ann"}, environment="staging")

        run_again(visitor, first)

        second = ended(local, 2)
        before, after = local.requests[-2:]
        assert (after.path, after.query) == (before.path, {"environment": "staging"})
        assert (second.inputs, second.environment, second.workflow_key) == ({"name": "Ann"}, "staging", "hello")

    def test_the_page_is_there_before_the_run_has_ended(self, local: LocalScout, visitor: Visitor, gate: Gate) -> None:
        config = {"blocks": [block("slow", WAIT)]}
        gate.open.set()
        first = execute(local, config)
        gate.open.clear()

        response = run_again(visitor, first)

        visitor.http.close()  # nobody waits for it any more
        visitor = Visitor(local, auth=("me", KEY))
        assert "running" in visitor.page(response.headers["location"])
        visitor.http.close()
        gate.open.set()
        assert ended(local, 2).output == "done"

    @pytest.mark.parametrize(
        ("typed", "place", "said"),
        [
            ('{"name":\n  "Bob",}', "line 2, column 9", "double quotes"),
            ("", "line 1, column 1", "Expecting value"),
            ('{"a": 1,\n"a": 2}', "line 2, column 1", "duplicate key"),
            ('{"a": NaN}', "line 1", "not JSON"),
            ("[" * 100_000, "", "recursion depth"),
            ("[1]", "", "no JSON object"),
            ("\n\n<b>&amp;</textarea>", "line 3, column 1", "Expecting value"),
        ],
    )
    def test_what_is_no_json_stays_in_the_form(
        self, local: LocalScout, visitor: Visitor, typed: str, place: str, said: str
    ) -> None:
        run = execute(local)

        response = run_again(visitor, run, inputs=typed)

        assert response.status_code == 422
        assert place in response.text
        assert said in response.text
        assert 'aria-invalid="true"' in response.text
        assert typed_in(response, f"{address(run)}/again")["inputs"] == typed
        assert len(local.requests) == 1

    def test_what_is_not_edited_is_sent_as_it_was(self, local: LocalScout, visitor: Visitor) -> None:
        odd = {"secret": SECRET, "unseen": "\u202e\u200b\x7f\ufeff\r\n\t", "number": 10**40, "tag": "</textarea>"}
        first = execute(local, HELLO, odd)

        form = visitor.form(address(first), f"{address(first)}/again")
        assert SECRET not in form.fields["inputs"]
        run_again(visitor, first)

        assert ended(local, 2).inputs == odd
        visitor.send(form, inputs=form.fields["inputs"].replace("[redacted]", "known"))
        assert ended(local, 3).inputs == {**odd, "secret": "known"}

    def test_long_inputs_are_sent_without_being_edited(self, local: LocalScout, visitor: Visitor) -> None:
        first = execute(local, HELLO, {"name": "x" * 200_000})

        form = visitor.form(address(first), f"{address(first)}/again")
        assert set(form.fields) == {"token"}
        visitor.send(form)

        assert ended(local, 2).inputs == first.inputs

    @pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=429, retry_after=1)])
    def test_a_refusal_leads_to_the_refused_request(self, local: LocalScout, visitor: Visitor, fault: Fault) -> None:
        run = execute(local)
        local.fail_next(fault)

        response = run_again(visitor, run)

        assert response.status_code == 303
        page = visitor.page(response.headers["location"])
        assert f"Refused with status {fault.status}" in page
        assert "A simulated fault" in page

    def test_a_workflow_that_was_deleted(self, local: LocalScout, visitor: Visitor) -> None:
        run = execute(local, "hello")
        httpx.delete(
            f"{local.url}/v2/workflows/{local.workflow_ids['hello']}", headers={"authorization": f"Bearer {KEY}"}
        )

        response = run_again(visitor, run)

        assert "There is no workflow with the id" in visitor.page(response.headers["location"])

    def test_an_answer_that_breaks_off_or_stalls(
        self, local: LocalScout, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = execute(local)
        monkeypatch.setattr(again, "_LONGEST_WAIT", 0.2)
        monkeypatch.setattr(again, "_LONGEST_SILENCE", 0.4)
        for fault, status in ((Fault(cut_after=0), 502), (Fault(stall_after=0), 504), (Fault(delay=30), 504)):
            local.fail_next(fault)
            assert run_again(visitor, run).status_code == status

        # In the middle: the page of the run is there, and it is cancelled.
        for fault in (Fault(cut_after=1), Fault(stall_after=1)):
            local.fail_next(fault)
            there = run_again(visitor, run).headers["location"]
            assert settled(lambda there=there: "cancelled" in visitor.page(there))

    def test_so_many_at_once_and_no_more_until_the_end_of_the_server(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(again, "_MOST_AT_ONCE", 2)
        gate, seen = Gate(), list[Access]()
        gate.open.set()
        with LocalScout(blocks={WAIT: gate}, on_access=seen.append) as local:
            visitor = Visitor(local)
            with visitor.http:
                with Scout("any", base_url=local.url) as scout:
                    scout.execute({"blocks": [block("slow", WAIT)]})
                assert run_again(visitor, local.runs[0]).status_code == 303
                ended(local, 2)
                gate.open.clear()

                statuses = [run_again(visitor, local.runs[0]).status_code for _ in range(3)]

            assert statuses == [303, 303, 503]
            assert len(seen) == 2
        try:
            assert settled(lambda: len(seen) == 4)
        finally:
            gate.open.set()

    def test_nothing_without_the_token(self, local: LocalScout, visitor: Visitor) -> None:
        run = execute(local)
        form = visitor.form(address(run), f"{address(run)}/again")

        for token in ("", "x", form.fields["token"][:-1], form.fields["token"] + "x"):
            assert visitor.send(form, token=token).status_code == 403
        assert visitor.http.post(form.action).status_code == 403
        assert visitor.http.get(form.action).status_code == 200
        assert len(local.requests) == 1

    def test_a_run_whose_request_is_gone(
        self, local: LocalScout, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = execute(local)
        form = visitor.form(address(run), f"{address(run)}/again")
        monkeypatch.setattr(traces, "MOST_BYTES", 1_000)
        execute(local)

        page = visitor.page(address(run))

        assert "it cannot be sent again" in page
        assert f'action="{address(run)}/again"' not in page
        assert visitor.send(form).status_code == 404
        for name in ("curl", "python", "test", "cassette"):
            assert visitor.http.get(f"{address(run)}/{name}").status_code == 409


class TestFiles:
    def test_a_saved_test_passes(self, local: LocalScout, visitor: Visitor, tmp_path: Path) -> None:
        run = execute(local, HELLO, {"name": "Ann"})

        response = visitor.http.get(f"{address(run)}/test")

        kind, _, name = response.headers["content-disposition"].partition("; filename=")
        assert kind == "attachment"
        assert f'href="{address(run)}/test" download' in visitor.page(address(run))
        (tmp_path / json.loads(name)).write_bytes(response.content)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
        assert "1 passed" in done.stdout, done.stdout + done.stderr

    def test_a_cassette_answers_as_the_run_did(self, local: LocalScout, visitor: Visitor, tmp_path: Path) -> None:
        run = execute(local, HELLO, {"name": "Ann"})

        response = visitor.http.get(f"{address(run)}/cassette")

        assert response.headers["content-disposition"] == f'attachment; filename="{run.id}.jsonl"'
        assert KEY.encode() not in response.content
        (tmp_path / "run.jsonl").write_bytes(response.content)
        with Scout("other", transport=replay(tmp_path / "run.jsonl")) as scout:
            assert scout.execute(HELLO, {"name": "Ann"}).output == run.output

    def test_the_request_as_programs_without_the_key(self, local: LocalScout, visitor: Visitor) -> None:
        run = execute(local, HELLO, {"name": "Ann", "secret": SECRET})

        page = visitor.page(address(run))
        for form, word in (("curl", "curl -sS"), ("python", "from scout import Scout")):
            text = visitor.http.get(f"{address(run)}/{form}").text
            assert word in text
            assert word in page
            assert local.url in text
            assert KEY not in text
            assert SECRET not in text

    def test_a_run_that_goes_on_has_no_test_yet(self, local: LocalScout, visitor: Visitor, gate: Gate) -> None:
        gate.open.set()
        first = execute(local, {"blocks": [block("slow", WAIT)]})
        gate.open.clear()
        there = run_again(visitor, first).headers["location"]

        for form in ("test", "cassette"):
            response = visitor.http.get(f"{there}/{form}")
            assert response.status_code == 409
            assert "has not ended" in response.text
        assert "There is no test of this run: the run has not ended." in visitor.page(there)
        gate.open.set()
        assert settled(lambda: visitor.http.get(f"{there}/cassette").status_code == 200)
        assert "There is no test" not in visitor.page(there)

    def test_files_of_a_large_run_are_made_when_they_are_asked_for(self, local: LocalScout, visitor: Visitor) -> None:
        run = execute(local, HELLO, {"name": "x" * 100_000})

        page = visitor.page(address(run))
        assert "from scout import Scout" not in page
        assert f'href="{address(run)}/python" download' in page
        assert "from scout import Scout" in visitor.http.get(f"{address(run)}/python").text


def test_requests_of_the_page_are_not_those_of_the_api(local: LocalScout, visitor: Visitor, seen: list[Access]) -> None:
    run = execute(local)
    requests: list[LocalRequest] = local.requests
    local.fail_next(500)

    for there in (address(run), f"{address(run)}/test", "/page/faults", "/page/requests"):
        assert visitor.http.get(there).status_code == 200

    assert local.requests == requests
    assert len(seen) == 1

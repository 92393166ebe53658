"""A client's life: options, sharing between threads, loops and processes, closing, and where its settings come from."""

import asyncio
import contextlib
import copy
import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import (
    KEY,
    WORKFLOW,
    Caller,
    Received,
    Server,
    answer,
    delayed,
    json_answer,
    refused_url,
    route,
    run_answer,
    settled,
    silent,
)

from scout import AsyncScout, ConfigurationError, Environment, Scout, ScoutError

OK = json_answer(run_answer())


def echo(request: Received) -> Any:
    """Answer with the inputs of the request as the output, so that a mix-up shows."""
    return json_answer(run_answer(request.json()["inputs"]))  # type: ignore[index]


def run_program(source: str, url: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, with the server's URL as its argument."""
    return subprocess.run(
        [sys.executable, *options, "-c", textwrap.dedent(source), url],
        env={**os.environ, "SCOUT_API_KEY": KEY, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


# --- Closing ----------------------------------------------------------------------------------------------


def test_a_closed_client_says_so(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        yield client.execute(WORKFLOW)
        yield client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            yield client.execute(WORKFLOW)
        with pytest.raises(ConfigurationError, match="closed"):
            client.with_options(timeout=1.0)
        with pytest.raises(ConfigurationError, match="closed"):
            _ = client.raw
        yield client.close()

    with Server(OK) as server:
        call.drive(program)

    assert server.hits == 1


def test_a_client_closed_before_its_first_call(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        yield client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            yield client.execute(WORKFLOW)

    with Server(OK) as server:
        call.drive(program)

    assert server.connections == 0


def test_the_end_of_the_block_closes() -> None:
    with Server(OK, keep_alive=True) as server:
        with Scout(KEY, base_url=server.url) as client:
            client.execute(WORKFLOW)
        with pytest.raises(ConfigurationError, match="closed"):
            client.execute(WORKFLOW)
        with pytest.raises(ConfigurationError, match="closed"), client:
            pass


async def test_the_end_of_the_async_block_closes() -> None:
    with Server(OK, keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            await client.execute(WORKFLOW)
        with pytest.raises(ConfigurationError, match="closed"):
            await client.execute(WORKFLOW)
        with pytest.raises(ConfigurationError, match="closed"):
            async with client:
                pass


async def test_aclose_is_close() -> None:
    client = AsyncScout(KEY)
    await client.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await client.execute(WORKFLOW)


def test_closing_ends_the_kept_connections(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        yield client.execute(WORKFLOW)
        assert server.open_connections == 1
        yield client.close()

    with Server(OK, keep_alive=True) as server:
        call.drive(program)
        assert settled(lambda: server.open_connections == 0)


def test_an_error_in_the_block_closes_and_passes(call: Caller) -> None:
    with pytest.raises(ZeroDivisionError), Scout(KEY):
        _ = 1 / 0


def test_one_client_keeps_its_connection(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        for _ in range(5):
            yield client.execute(WORKFLOW)
        yield client.close()

    with Server(OK, keep_alive=True) as server:
        call.drive(program)

    assert (server.hits, server.connections) == (5, 1)


def test_errors_give_their_connection_back(call: Caller) -> None:
    """A refusal is read to its end; a pool of one connection serves the next call at once."""

    def program(client_class: Any) -> Any:
        transport_class = httpx.AsyncHTTPTransport if call.is_async else httpx.HTTPTransport
        transport = transport_class(limits=httpx.Limits(max_connections=1))
        client = client_class(KEY, base_url=server.url, transport=transport, connect_timeout=1.0)
        for _ in range(3):
            with pytest.raises(ScoutError):
                yield client.execute(WORKFLOW)
        yield client.execute(WORKFLOW)
        yield client.close()

    refusal = json_answer({"detail": "no"}, 400)
    with Server([refusal, answer(200, "<html>"), answer(500, "x" * 100_000), OK], keep_alive=True) as server:
        call.drive(program)

    assert (server.hits, server.connections) == (4, 1)


# --- with_options -----------------------------------------------------------------------------------------


def test_a_copy_shares_the_connections(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        yield client.execute(WORKFLOW)
        copy = client.with_options(timeout=5.0, retries=0)
        yield copy.execute(WORKFLOW)
        yield copy.close()
        yield client.execute(WORKFLOW)
        yield client.close()

    with Server(OK, keep_alive=True) as server:
        call.drive(program)

    assert (server.hits, server.connections) == (3, 1)


def test_a_copy_never_changes_the_original(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=first.url, environment="staging", headers={"X-Team": "one"})
        before = repr(client)
        copy = client.with_options(
            api_key="secret_other",
            base_url=second.url + "/prefix",
            environment=None,
            headers={"X-Team": "two", "X-More": "three"},
            retries=0,
            timeout=1.0,
        )
        again = copy.with_options(environment=Environment.CONSOLE)
        assert repr(client) == before
        assert (client.base_url, copy.base_url) == (first.url, f"{second.url}/prefix")
        for each in (client, copy, again, client):
            yield each.execute(WORKFLOW)
        yield client.close()

    with Server(OK) as first, Server(OK) as second:
        call.drive(program)

    assert [request.headers["authorization"] for request in first.requests] == [f"Bearer {KEY}"] * 2
    assert [request.headers["x-team"] for request in first.requests] == ["one"] * 2
    assert all("x-more" not in request.headers for request in first.requests)
    assert [request.query for request in first.requests] == [{"environment": "staging"}] * 2
    assert [request.path for request in second.requests] == ["/prefix/v2/workflows/execute"] * 2
    assert [request.headers["authorization"] for request in second.requests] == ["Bearer secret_other"] * 2
    assert [request.query for request in second.requests] == [{}, {"environment": "console"}]


def test_a_client_does_not_share_the_callers_mapping(call: Caller) -> None:
    """What the caller does to the mapping afterwards is the caller's own affair."""
    headers = {"X-Team": "one"}

    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url, headers=headers)
        headers["X-Team"] = "two"
        yield client.execute(WORKFLOW)
        yield client.close()

    with Server(OK) as server:
        call.drive(program)

    assert server.requests[0].headers["x-team"] == "one"


def test_closing_the_original_closes_the_copies(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        client = client_class(KEY, base_url=server.url)
        copy = client.with_options(timeout=5.0)
        yield client.execute(WORKFLOW)
        yield client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            yield copy.execute(WORKFLOW)

    with Server(OK) as server:
        call.drive(program)


def test_unknown_options_are_refused(call: Caller) -> None:
    client = call.client_class(KEY)
    with pytest.raises(TypeError):
        client.with_options(tiemout=5.0)
    with pytest.raises(TypeError):
        call.client_class(KEY, tiemout=5.0)
    with pytest.raises(ConfigurationError):
        client.with_options(timeout=-1)


def test_an_unknown_option_of_a_call_is_refused(call: Caller) -> None:
    with Server(OK) as server:
        outcome = call(server.url, tiemout=5.0)

    assert isinstance(outcome.error, TypeError)
    assert server.hits == 0


# --- Processes --------------------------------------------------------------------------------------------

FORK = """
    import asyncio, os, sys
    from scout import AsyncScout, Scout

    workflow = {"blocks": []}
    kind = os.environ["KIND"]
    client = (AsyncScout if kind == "async" else Scout)(base_url=sys.argv[1], environment=None)

    def ask(who, times=3):
        async def several():
            for _ in range(times):
                run = await client.execute(workflow, {"who": who})
                assert run.raw["echo"] == {"who": who}, run.raw
        if kind == "async":
            return asyncio.run(several())
        for _ in range(times):
            run = client.execute(workflow, {"who": who})
            assert run.raw["echo"] == {"who": who}, run.raw

    ask("before")
    child = os.fork()
    if not child:
        try:
            ask("child")
            if kind == "sync":
                client.close()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    ask("parent")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    ask("after")
    if kind == "sync":
        client.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_fork(kind: str) -> None:
    """Both sides go on, on connections of their own; closing in the child leaves the parent's alone."""

    def behave(request: Received) -> Any:
        return json_answer(run_answer() | {"echo": request.json()["inputs"]})  # type: ignore[index]

    with Server(route(behave), keep_alive=True) as server:
        done = run_program(FORK, server.url, KIND=kind)

    assert (done.returncode, done.stderr) == (0, "")
    used: dict[str, set[int]] = {}
    for request in server.requests:
        used.setdefault(request.json()["inputs"]["who"], set()).add(request.connection)  # type: ignore[index]
    assert used.keys() == {"before", "child", "parent", "after"}
    assert not used["child"] & (used["before"] | used["parent"] | used["after"])
    if kind == "sync":
        assert used["before"] == used["parent"] == used["after"]


FORK_IN_A_CALL = """
    import os, sys, threading, time
    from scout import Scout

    client = Scout(base_url=sys.argv[1])
    thread = threading.Thread(target=client.execute, args=({"blocks": []},))
    thread.start()
    time.sleep(0.3)  # the call of the thread is under way
    child = os.fork()
    if not child:
        run = client.execute({"blocks": []}, deadline=5.0)
        os._exit(0 if run.ok else 1)
    _, status = os.waitpid(child, 0)
    thread.join()
    client.close()
    raise SystemExit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_fork_in_the_middle_of_a_call() -> None:
    """No lock that another thread held comes into the child locked."""
    with Server([delayed(1.0, OK), OK], keep_alive=True) as server:
        done = run_program(FORK_IN_A_CALL, server.url, "-W", "ignore::DeprecationWarning")

    assert (done.returncode, done.stderr) == (0, "")
    assert server.hits == 2


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_client_works(call: Caller, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings travel; connections and the key do not."""

    def program(client_class: Any) -> Any:
        client = client_class(
            KEY, base_url=server.url + "/x", environment="development", retries=0, headers={"X-Team": "one"}
        )
        yield client.execute(WORKFLOW)
        data = pickle.dumps(client, protocol)
        yield client.close()
        monkeypatch.setenv("SCOUT_API_KEY", "secret_of_the_other_side")
        twin = pickle.loads(data)
        assert type(twin) is client_class
        assert twin.base_url == client.base_url
        with pytest.raises(ScoutError):
            yield twin.execute(WORKFLOW)
        yield twin.close()

    with Server([OK, answer(422)], keep_alive=True) as server:
        call.drive(program)

    first, second = server.requests
    assert server.connections == 2
    assert second.headers["authorization"] == "Bearer secret_of_the_other_side"
    assert second.target == first.target == "/x/v2/workflows/execute?environment=development"
    assert second.headers["x-team"] == "one"


def test_a_pickled_client_without_a_key_says_so(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        with pytest.raises(ConfigurationError, match="SCOUT_API_KEY"):
            yield pickle.loads(data).execute(WORKFLOW)

    data = pickle.dumps(call.client_class(KEY, base_url="http://127.0.0.1:9"))
    call.drive(program)


def test_a_pickled_closed_client_stays_closed(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", KEY)

    def program(client_class: Any) -> Any:
        client = client_class()
        yield client.close()
        with pytest.raises(ConfigurationError, match="closed"):
            yield pickle.loads(pickle.dumps(client)).execute(WORKFLOW)

    call.drive(program)


def test_a_key_function_is_not_pickled(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lambda cannot be pickled, and need not be."""
    monkeypatch.setenv("SCOUT_API_KEY", KEY)
    assert pickle.loads(pickle.dumps(call.client_class(lambda: "secret_of_here"))).base_url


# --- Threads, loops and tasks -----------------------------------------------------------------------------


def test_threads_share_a_client() -> None:
    """Sixteen threads, each with its own answers; the pool is made once."""
    with Server(route(echo), keep_alive=True) as server, Scout(KEY, base_url=server.url) as client:
        start = threading.Barrier(16)

        def work(number: int) -> None:
            start.wait(10)
            for turn in range(5):
                inputs = {"thread": number, "turn": turn}
                assert client.execute(WORKFLOW, inputs).output == inputs

        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))

    assert server.hits == 80
    assert server.connections <= 16


def test_threads_share_a_copy() -> None:
    with Server(route(echo), keep_alive=True) as server, Scout(KEY, base_url=server.url) as client:

        def work(number: int) -> None:
            assert client.with_options(timeout=5.0 + number).execute(WORKFLOW, {"n": number}).output == {"n": number}

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(40)))

    assert server.hits == 40
    assert server.connections <= 8


async def test_tasks_share_a_client() -> None:
    with Server(route(echo), keep_alive=True) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            runs = await asyncio.gather(*(client.execute(WORKFLOW, {"n": n}) for n in range(30)))

    assert [run.output for run in runs] == [{"n": n} for n in range(30)]
    assert server.connections <= 30


# A loop that is gone cannot close its connections any more; Python says so when it collects them.
abandons_loops = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@abandons_loops
def test_one_client_on_several_loops_in_turn() -> None:
    """Each `asyncio.run` is a new loop; a connection of the last one must not be touched."""
    with Server(route(echo), keep_alive=True) as server:
        client = AsyncScout(KEY, base_url=server.url)

        async def ask(client: AsyncScout, number: int) -> Any:
            first = await client.execute(WORKFLOW, {"n": number})
            second = await client.execute(WORKFLOW, {"n": number})
            return first.output, second.output

        for number in range(3):
            assert asyncio.run(ask(client, number)) == ({"n": number}, {"n": number})
        asyncio.run(client.close())
        del client
        gc.collect()

    assert (server.hits, server.connections) == (6, 3)


@abandons_loops
def test_one_client_on_several_loops_at_once() -> None:
    with Server(delayed(0.05, route(echo)), keep_alive=True) as server:
        client = AsyncScout(KEY, base_url=server.url)

        async def ask(client: AsyncScout, number: int) -> list[Any]:
            runs = await asyncio.gather(*(client.execute(WORKFLOW, {"n": number, "k": k}) for k in range(3)))
            return [run.output for run in runs]

        with ThreadPoolExecutor(4) as threads:
            questions = [ask(client, number) for number in range(4)]
            answers = list(threads.map(asyncio.run, questions))
            del questions
        asyncio.run(client.close())
        del client
        gc.collect()

    assert answers == [[{"n": number, "k": k} for k in range(3)] for number in range(4)]


@abandons_loops
def test_closing_on_another_loop() -> None:
    """`close` releases what belongs to its own loop and stays silent about the others."""
    with Server(OK, keep_alive=True) as server:
        client = AsyncScout(KEY, base_url=server.url)
        asyncio.run(client.execute(WORKFLOW))
        asyncio.run(client.close())
        with pytest.raises(ConfigurationError, match="closed"):
            asyncio.run(client.execute(WORKFLOW))
    del client
    gc.collect()


async def test_a_cancelled_task_releases_its_connection() -> None:
    transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
    with Server([silent(), OK]) as server:
        async with AsyncScout(KEY, base_url=server.url, transport=transport, connect_timeout=2.0) as client:
            task = asyncio.create_task(client.execute(WORKFLOW))
            await asyncio.to_thread(server.wait_for_hits, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert await asyncio.to_thread(settled, lambda: len(server.hangups) == 1)
            run = await client.execute(WORKFLOW)

    assert run.ok
    assert server.hits == 2


async def test_cancelled_in_the_body() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
    transport = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
    with Server([silent(half), OK]) as server:
        async with AsyncScout(KEY, base_url=server.url, transport=transport, connect_timeout=2.0) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.execute(WORKFLOW)
            assert (await client.execute(WORKFLOW)).ok


async def test_cancelled_while_waiting_to_repeat() -> None:
    """A cancelled wait sends nothing more."""
    with Server(answer(429, b"", {"Retry-After": "30"})) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await client.execute(WORKFLOW)
            await asyncio.sleep(0.1)

    assert server.hits == 1


async def test_waiting_to_repeat_does_not_block_the_loop() -> None:
    with Server([answer(429, b"", {"Retry-After": "0.5"}), OK]) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            task = asyncio.create_task(client.execute(WORKFLOW))
            longest = 0.0
            while not task.done():
                before = time.monotonic()
                await asyncio.sleep(0.01)
                longest = max(longest, time.monotonic() - before)
            assert (await task).ok

    assert longest < 0.3


# --- Garbage ----------------------------------------------------------------------------------------------

FORGOTTEN = """
    import asyncio, gc, os, sys
    from scout import AsyncScout, Scout

    def forget():
        client = Scout(base_url=sys.argv[1])
        client.execute({"blocks": []})
        client.with_options(timeout=1.0)

    async def forget_async():
        client = AsyncScout(base_url=sys.argv[1])
        await client.execute({"blocks": []})

    def forget_unused():
        Scout(); AsyncScout()

    for _ in range(2):
        forget(); gc.collect()
        asyncio.run(forget_async()); gc.collect()
        forget_unused(); gc.collect()
    kept = Scout(base_url=sys.argv[1])
    kept.execute({"blocks": []})
    cycle = [kept]; cycle.append(cycle)
"""


def test_a_forgotten_client_makes_no_noise() -> None:
    """Collected or left to the end of the process: nothing is printed, and nothing is sent."""
    with Server(OK, keep_alive=True) as server:
        done = run_program(FORGOTTEN, server.url)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert server.hits == 5


def test_a_forgotten_client_is_collected() -> None:
    """Neither its connections nor what watches over forks keep it alive."""
    with Server(OK, keep_alive=True) as server:
        client = Scout(KEY, base_url=server.url)
        client.execute(WORKFLOW)
        client.close()
        watched = weakref.ref(client)
        del client
        gc.collect()

    assert watched() is None


# --- Where settings come from -----------------------------------------------------------------------------


def test_variables_are_read_when_a_client_is_made(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither at import nor at the call."""

    def program(client_class: Any) -> Any:
        monkeypatch.setenv("SCOUT_API_KEY", "secret_from_the_environment")
        monkeypatch.setenv("SCOUT_BASE_URL", server.url)
        monkeypatch.setenv("SCOUT_ENVIRONMENT", "staging")
        client = client_class()
        monkeypatch.setenv("SCOUT_API_KEY", "secret_later")
        monkeypatch.setenv("SCOUT_BASE_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("SCOUT_ENVIRONMENT", "console")
        yield client.execute(WORKFLOW)
        yield client.close()

    with Server(OK) as server:
        call.drive(program)

    (request,) = server.requests
    assert request.headers["authorization"] == "Bearer secret_from_the_environment"
    assert request.query == {"environment": "staging"}


def test_arguments_come_before_variables(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_API_KEY", "secret_from_the_environment")
    monkeypatch.setenv("SCOUT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SCOUT_ENVIRONMENT", "staging")
    with Server(OK) as server:
        call.run(server.url, client={"environment": "development"})

    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.query == {"environment": "development"}


def test_defaults(call: Caller) -> None:
    assert call.client_class(KEY).base_url == "https://api.scoutos.com"
    with Server(OK) as server:
        call.run(server.url)

    assert server.requests[0].query == {"environment": "production"}


@pytest.mark.parametrize("variable", [None, "staging"])
def test_no_environment_is_sent_when_none_is_wanted(
    call: Caller, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv("SCOUT_ENVIRONMENT", variable)
    with Server(OK) as server:
        call.run(server.url, client={"environment": None})
        call.run(server.url, environment=None)

    assert [request.query for request in server.requests] == [{}, {}]


@pytest.mark.parametrize("environment", [*Environment, *map(str, Environment)], ids=repr)
def test_each_environment(call: Caller, environment: str) -> None:
    with Server(OK) as server:
        call.run(server.url, environment=environment)

    assert server.requests[0].query == {"environment": str(environment)}


@pytest.mark.parametrize("environment", ["prodution", "", "Production", 5, True])
def test_unknown_environments_are_refused(call: Caller, environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="environment"):
        call.client_class(KEY, environment=environment)
    if isinstance(environment, str) and environment:
        monkeypatch.setenv("SCOUT_ENVIRONMENT", environment)
        with pytest.raises(ConfigurationError, match="SCOUT_ENVIRONMENT"):
            call.client_class(KEY)


def test_a_bad_url_in_the_environment_is_refused(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCOUT_BASE_URL", "api.scoutos.com")
    with pytest.raises(ConfigurationError, match=r"base_url|SCOUT_BASE_URL"):
        call.client_class(KEY)


# --- Where requests may go --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://api.scoutos.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://127.0.0.1@example.com",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://[::ffff:10.0.0.1]",
        "http://notlocalhost",
        "HTTP://API.SCOUTOS.COM",
    ],
)
def test_http_is_refused_except_on_this_machine(call: Caller, url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        call.client_class(KEY, base_url=url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8787",
        "http://127.9.9.9",
        "http://localhost:8787",
        "http://LOCALHOST",
        "http://[::1]:8787",
        "HTTP://127.0.0.1",
        "https://api.example.com",
        "https://api.example.com/prefix",
    ],
)
def test_what_is_allowed(call: Caller, url: str) -> None:
    assert call.client_class(KEY, base_url=url).base_url.rstrip("/") == url.replace("HTTP:", "http:")


def test_allow_http(call: Caller) -> None:
    client = call.client_class(KEY, base_url="http://scout.internal", allow_http=True)

    assert client.base_url == "http://scout.internal"
    assert client.with_options(base_url="http://other.internal").base_url == "http://other.internal"
    with pytest.raises(ConfigurationError):
        client.with_options(allow_http=False)


@pytest.mark.parametrize(
    "url", ["", "api.scoutos.com", "ftp://api.scoutos.com", "https://", "https://a b", "//host", "https://h:port", 5]
)
def test_what_is_no_url(call: Caller, url: Any) -> None:
    with pytest.raises(ConfigurationError):
        call.client_class(KEY, base_url=url)


@pytest.mark.parametrize("suffix", ["", "/", "/prefix", "/prefix/"])
def test_the_path_is_joined(call: Caller, suffix: str) -> None:
    with Server(OK) as server:
        call.run(server.url + suffix)

    assert server.requests[0].path == suffix.rstrip("/") + "/v2/workflows/execute"


def test_proxies_of_the_environment(call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that refuses the connection has sent nothing on."""
    with refused_url() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        error = call.error("https://scout.invalid", retries=0, deadline=5.0)

    assert error.run_may_have_started is False


# --- What is sent -----------------------------------------------------------------------------------------


def test_the_request(call: Caller) -> None:
    with Server(OK) as server:
        call.run(
            server.url,
            {"user_message": "Grüße \U0001f600"},
            revision_id="rev 1&2",
            session_id="sess/1",
            workflow_key="my key",
            extra_headers={"X-Trace": "t1"},
            extra_query={"debug": "1"},
            extra_body={"future": [1]},
        )

    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v2/workflows/execute")
    assert request.query == {
        "environment": "production",
        "revision_id": "rev 1&2",
        "session_id": "sess/1",
        "debug": "1",
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"].startswith("application/json")
    assert "application/json" in request.headers["accept"]
    assert request.headers["user-agent"].startswith("scout-workflows/")
    assert request.headers["x-trace"] == "t1"
    body = request.json()
    assert isinstance(body, dict)
    assert not body.pop("streaming", False)
    assert body == {
        "workflow_config": WORKFLOW,
        "workflow_key": "my key",
        "inputs": {"user_message": "Grüße \U0001f600"},
        "future": [1],
    }


def test_the_extras_win(call: Caller) -> None:
    with Server(OK) as server:
        call.run(
            server.url,
            {"a": 1},
            client={"headers": {"X-Team": "client"}},
            session_id="one",
            extra_headers={"x-team": "call"},
            extra_query={"session_id": "two", "environment": "preview"},
            extra_body={"inputs": {"b": 2}},
        )

    (request,) = server.requests
    assert request.headers["x-team"] == "call"
    assert request.query == {"session_id": "two", "environment": "preview"}
    assert request.json()["inputs"] == {"b": 2}  # type: ignore[index]


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_the_key_has_one_way_in(call: Caller, name: str) -> None:
    with pytest.raises(ConfigurationError, match="api_key"):
        call.client_class(KEY, headers={name: "Bearer x"})
    with Server(OK) as server:
        error = call.error(server.url, extra_headers={name: "Bearer x"})

    assert isinstance(error, ConfigurationError)
    assert server.hits == 0


@pytest.mark.parametrize(
    "headers",
    [{"Bad Name": "x"}, {"": "x"}, {"X": "a\r\nY: b"}, {"X": "ключ"}, {"X": 5}, {5: "x"}, [("X", "y")]],
    ids=repr,
)
def test_headers_that_cannot_be_sent(call: Caller, headers: Any) -> None:
    with pytest.raises(ConfigurationError, match="headers"):
        call.client_class(KEY, headers=headers)
    with Server(OK) as server:
        error = call.error(server.url, extra_headers=headers)

    assert isinstance(error, ConfigurationError)
    assert server.hits == 0


def test_an_empty_workflow_is_sent_as_it_is(call: Caller) -> None:
    """`{}` is the API's documented minimal value."""
    with Server(OK) as server:
        call.run(server.url, workflow={})

    assert server.requests[0].json()["workflow_config"] == {}  # type: ignore[index]


def test_a_wrapper_is_unwrapped_and_its_key_sent(call: Caller) -> None:
    with Server(OK) as server:
        call.run(server.url, workflow={"workflow_key": "mine", "workflow_config": WORKFLOW})
        call.run(server.url, workflow={"workflow_key": "mine", "workflow_config": WORKFLOW}, workflow_key="other")

    first, second = (request.json() for request in server.requests)
    assert (first["workflow_key"], first["workflow_config"]) == ("mine", WORKFLOW)  # type: ignore[index]
    assert (second["workflow_key"], second["workflow_config"]) == ("other", WORKFLOW)  # type: ignore[index]


def test_the_callers_objects_are_not_changed(call: Caller) -> None:
    workflow, inputs = copy.deepcopy(WORKFLOW), {"a": {"b": [1]}}
    with Server(OK) as server:
        call.run(server.url, inputs, workflow=workflow)

    assert (workflow, inputs) == (WORKFLOW, {"a": {"b": [1]}})


def test_importing_reads_no_variable_and_opens_nothing() -> None:
    source = "import scout, sys; assert 'httpx' not in sys.modules, 'httpx is loaded'"
    done = run_program(source, "", SCOUT_API_KEY="a b", SCOUT_ENVIRONMENT="nonsense", SCOUT_BASE_URL="nonsense")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- Copies with connections of their own -----------------------------------------------------------------


def test_a_copy_with_its_own_connections_keeps_the_local_scout(call: Caller) -> None:
    def program(client_class: Any) -> Any:
        copied = client_class.local().with_options(max_connections=2)
        gc.collect()
        run = yield copied.execute("examples/hello/workflow.yml", {"user_message": "Hi"})
        assert run.ok
        yield copied.close()

    with contextlib.chdir(Path(__file__).parent.parent):
        call.drive(program)
    gc.collect()


def test_closing_a_copy_leaves_the_transport_of_the_caller_open(call: Caller) -> None:
    class Transport(httpx.MockTransport):
        closed = False

        def close(self) -> None:
            self.closed = True

        async def aclose(self) -> None:
            self.closed = True

    def program(client_class: Any) -> Any:
        client = client_class(KEY, transport=transport)
        copied = client.with_options(max_connections=2)
        yield copied.execute(WORKFLOW)
        yield copied.close()
        assert not transport.closed
        yield client.execute(WORKFLOW)
        yield client.close()

    transport = Transport(lambda request: httpx.Response(200, json=run_answer()))
    call.drive(program)

    assert transport.closed


def test_what_a_key_function_raises_passes_through(call: Caller) -> None:
    class NoVaultError(FileNotFoundError):
        pass

    def key() -> str:
        asked.append(1)
        raise NoVaultError("the vault is closed")

    def program(client_class: Any) -> Any:
        client = client_class(key, base_url=server.url)
        with pytest.raises(NoVaultError):
            yield client.execute(WORKFLOW)
        yield client.close()

    asked: list[int] = []
    with Server(OK) as server:
        call.drive(program)

    assert (server.hits, asked) == (0, [1])


def test_max_connections_is_a_number(call: Caller) -> None:
    for wrong in (0, -1, True, 1.5, "10", None):
        with pytest.raises(ConfigurationError, match="max_connections"):
            call.client_class(KEY, max_connections=wrong)

"""Thousands of streams opened and abandoned in every way: no connection, task, thread or file is left."""

import asyncio
import contextlib
import gc
import os
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from servers import KEY, WORKFLOW, Peer, Server, head
from test_events import STARTED, begins, says

from scout import AsyncScout, Scout, StreamInterruptedError

# In all, over the three kinds: sync, async and threads. By hand: SCOUT_TEST_STREAMS=10000.
STREAMS = int(os.environ.get("SCOUT_TEST_STREAMS", "1500"))

START = head(200, {"Content-Type": "text/event-stream"}) + STARTED + begins() + says("Hello") + says("you")


def starts(peer: Peer) -> None:
    """Say how the run begins, and stay until the client goes."""
    peer.request()
    peer.send(START)
    peer._socket.recv(1)


def files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def settled(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        gc.collect()
        time.sleep(0.01)
    return condition()


def in_use(client: Any) -> int:
    """How many connections the pool of a client believes to be in use."""
    return sum(len(part._state._turns) for part in client._http._transport._parts.values())


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")


# --- Sync ------------------------------------------------------------------------------------------------


def broken_in_block(client: Scout) -> None:
    with client.stream(WORKFLOW) as stream:
        for _ in stream:
            break


def broken(client: Scout) -> None:
    for _ in client.stream(WORKFLOW):
        break


def broken_in_text(client: Scout) -> None:
    for _ in client.stream(WORKFLOW).text():
        break


def failed(client: Scout) -> None:
    with pytest.raises(ZeroDivisionError), client.stream(WORKFLOW) as stream:
        print(len(next(stream).name) / 0)


def never_read(client: Scout) -> None:
    client.stream(WORKFLOW)


def entered_and_left(client: Scout) -> None:
    with client.stream(WORKFLOW):
        pass


def in_a_circle(client: Scout) -> None:
    """Only the garbage collector finds it."""
    stream = client.stream(WORKFLOW)
    next(stream)
    circle: list[Any] = [stream]
    circle.append(circle)


def closed(client: Scout) -> None:
    stream = client.stream(WORKFLOW)
    next(stream)
    stream.close()
    with pytest.raises(StreamInterruptedError):
        next(stream)
    stream.close()


def closed_elsewhere(client: Scout) -> None:
    stream = client.stream(WORKFLOW)
    next(stream)
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join()


SYNC = [
    broken_in_block,
    broken,
    broken_in_text,
    failed,
    never_read,
    entered_and_left,
    in_a_circle,
    closed,
    closed_elsewhere,
]


@needs_proc
def test_streams_abandoned_leave_nothing() -> None:
    with Server(starts) as server, Scout(KEY, base_url=server.url) as client:
        broken_in_block(client)
        settled(lambda: server.open_connections == 0)
        before, threads = files(), threading.active_count()
        for number in range(STREAMS // 3):
            SYNC[number % len(SYNC)](client)
        assert settled(lambda: server.open_connections == 0)
        assert settled(lambda: files() <= before), files() - before
        assert settled(lambda: threading.active_count() <= threads)
        assert in_use(client) == 0
        assert server.hits == STREAMS // 3 + 1


@needs_proc
def test_streams_abandoned_in_threads_leave_nothing() -> None:
    with Server(starts) as server, Scout(KEY, base_url=server.url) as client:
        broken_in_block(client)
        settled(lambda: server.open_connections == 0)
        before = files()

        def abandon(first: int) -> None:
            for number in range(first, STREAMS // 3, 8):
                SYNC[number % len(SYNC)](client)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(abandon, range(8)))
        assert settled(lambda: server.open_connections == 0)
        assert settled(lambda: files() <= before), files() - before
        assert in_use(client) == 0
        assert server.hits == STREAMS // 3 + 1


def test_streams_themselves_are_forgotten() -> None:
    known: list[weakref.ref[Any]] = []
    with Server(starts) as server, Scout(KEY, base_url=server.url) as client:

        def one(number: int) -> None:
            stream = client.stream(WORKFLOW)
            known.append(weakref.ref(stream))
            next(stream)
            if number % 2:
                stream.close()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, range(80)))
        assert settled(lambda: not [each for each in known if each() is not None])
        assert settled(lambda: server.open_connections == 0)


def test_closing_a_client_closes_what_was_left_open() -> None:
    with Server(starts) as server:
        client = Scout(KEY, base_url=server.url)
        streams = [client.stream(WORKFLOW) for _ in range(20)]
        for stream in streams:
            next(stream)
        never_read(client)
        client.close()
        assert settled(lambda: server.open_connections == 0)
        for stream in streams:
            stream.close()


# --- Async -----------------------------------------------------------------------------------------------


async def async_broken_in_block(client: AsyncScout) -> None:
    async with client.stream(WORKFLOW) as stream:
        async for _ in stream:
            break


async def async_broken(client: AsyncScout) -> None:
    async for _ in client.stream(WORKFLOW):
        break


async def async_broken_in_text(client: AsyncScout) -> None:
    async for _ in client.stream(WORKFLOW).text():
        break


async def async_failed(client: AsyncScout) -> None:
    with contextlib.suppress(ZeroDivisionError):
        async with client.stream(WORKFLOW) as stream:
            print(len((await anext(stream)).name) / 0)


async def async_never_read(client: AsyncScout) -> None:
    await client.stream(WORKFLOW)


async def async_never_opened(client: AsyncScout) -> None:
    """The others are counted by the server; this one must not be."""
    client.stream(WORKFLOW)
    await async_never_read(client)


async def async_in_a_circle(client: AsyncScout) -> None:
    stream = await client.stream(WORKFLOW)
    await anext(stream)
    circle: list[Any] = [stream]
    circle.append(circle)


async def async_closed(client: AsyncScout) -> None:
    stream = await client.stream(WORKFLOW)
    await anext(stream)
    await stream.close()
    await stream.aclose()


async def async_cancelled_reading(client: AsyncScout) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async with client.stream(WORKFLOW) as stream:
            async for _ in stream:
                begun.set()

    await cancelled(read(), begun)


async def async_cancelled_without_block(client: AsyncScout) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in client.stream(WORKFLOW).text():
            begun.set()

    await cancelled(read(), begun)


async def cancelled(reading: Any, begun: asyncio.Event) -> None:
    task = asyncio.create_task(reading)
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def async_timed_out(client: AsyncScout) -> None:
    """As above, mostly before the answer has begun."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.stream(WORKFLOW).until_done(), 0.02)


ASYNC = [
    async_broken_in_block,
    async_broken,
    async_broken_in_text,
    async_failed,
    async_never_read,
    async_never_opened,
    async_in_a_circle,
    async_closed,
    async_cancelled_reading,
    async_cancelled_without_block,
    async_timed_out,
]


@needs_proc
async def test_streams_abandoned_in_tasks_leave_nothing() -> None:
    with Server(starts) as server:
        async with AsyncScout(KEY, base_url=server.url) as client:
            await async_broken_in_block(client)
            await async_settled(lambda: server.open_connections == 0)
            before, tasks = files(), len(asyncio.all_tasks())

            async def abandon(first: int) -> None:
                for number in range(first, STREAMS // 3, 8):
                    await ASYNC[number % len(ASYNC)](client)

            await asyncio.gather(*(abandon(first) for first in range(8)))
            assert await async_settled(lambda: server.open_connections == 0), server.open_connections
            assert await async_settled(lambda: files() <= before), files() - before
            assert await async_settled(lambda: len(asyncio.all_tasks()) <= tasks)
            assert await async_settled(lambda: in_use(client) == 0)
        assert server.hits <= STREAMS // 3 + 1


async def async_settled(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        gc.collect()
        await asyncio.sleep(0.01)
    return condition()


def test_streams_left_to_a_loop_that_ends() -> None:
    """`asyncio.run` ends while streams are still there, and the client is closed as it should be."""
    with Server(starts) as server:
        kept: list[Any] = []

        async def leave() -> None:
            async with AsyncScout(KEY, base_url=server.url) as client:
                for _ in range(10):
                    stream = await client.stream(WORKFLOW)
                    await anext(stream)
                    kept.append(stream)
                await async_never_read(client)

        asyncio.run(leave())
        kept.clear()
        gc.collect()
        assert settled(lambda: server.open_connections == 0)

"""What typed events cost beside other ways to read the same stream; and whether a long stream costs more than a short.

    python benchmarks/streaming.py [--events 50000] [--rounds 5] [--long 1000000] [--events-per-chunk 100]

See README.md beside this file for the packages that it compares with. A row whose package is missing is skipped.

The server is a process of its own that writes a recorded stream as fast as it can. Every measurement is a fresh process
that reads one short stream to warm up, and counts its own CPU time only. Rows are interleaved; medians are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "secret_benchmark"
SHORT = 10_000  # events of the stream that a long one is compared with
WARM_UP = 200  # events
BLOCK = "answer"
CONFIG = {
    "blocks": [
        {
            "block_id": BLOCK,
            "block_archetype_id": "com.scoutos.llm",
            "block_display_name": "Answer",
            "block_inputs": {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "{{inputs.question}}"}]},
            "dependencies": [],
            "is_output": True,
        }
    ]
}
WORDS = ["The", " sky", " is", " blue", " be", "cause", " of", " how", " light", " scatt", "ers", " in", " air", "."]


# --- The recorded stream -------------------------------------------------------------------------------------


def frame(number: int, name: str, **data: Any) -> bytes:
    event_id = f"evt_0197a2c4{number:012d}"
    event = {
        "organization_id": "org_cm18jvw3z",
        "id": event_id,
        "correlation_id": "evt_0197a2c4000000000000",
        "name": name,
        "environment": "production",
        "timestamp": f"2026-03-02T10:{number // 60_000 % 60:02d}:{number // 1000 % 60:02d}.{number % 1000:03d}+00:00",
        "event_type": name,
        "version": "v1",
        "data": {"workflow_id": "wf_cm18jvw3z", "workflow_run_id": "run_0197a2c4b6d8", **data},
    }
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()


def update(number: int) -> bytes:
    piece = {"output": WORDS[number % len(WORDS)]}
    kind = {"block_id": BLOCK, "block_type": "com.scoutos.llm", "update_type": "partial"}
    return frame(number, "block_state_updated", **kind, update_data=piece)


def recorded(events: int) -> Iterator[bytes]:
    """The frames of one run. Its last events do not repeat its text: their size would hide that of the others."""
    session = {"session_id": "sess_0197a2c4b6d8"}
    block = {**session, "block_id": BLOCK, "block_type": "com.scoutos.llm", "config": CONFIG["blocks"][0]}
    yield frame(0, "workflow_run_started", **session, inputs={"question": "Why?"}, workflow_config=CONFIG, price=0.0)
    yield frame(1, "block_run_started", **block, metadata={}, state={})
    middle = [update(number) for number in range(2, min(events, SHORT) - 2)]
    for start in range(0, events - 4, len(middle)):  # ids come again after 10,000 events, which nobody remembers
        yield from middle[: events - 4 - start]
    yield frame(events - 2, "block_run_completed", **block, metadata={}, state={}, price=0.01)
    yield frame(events - 1, "workflow_run_completed", **session, output={}, workflow_config=CONFIG)


def pieces(events: int, per_chunk: int) -> Iterator[bytes]:
    """The chunked body of one run."""
    held: list[bytes] = []
    for each in recorded(events):
        held.append(each)
        if len(held) == per_chunk:
            yield chunk(b"".join(held))
            held.clear()
    if held:
        yield chunk(b"".join(held))
    yield b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# --- The server ----------------------------------------------------------------------------------------------


def serve(per_chunk: int) -> None:
    """Answer `POST /<events>/...` with a run of so many events."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=answer_all, args=(peer, per_chunk), daemon=True).start()


def answer_all(peer: socket.socket, per_chunk: int) -> None:
    with peer, peer.makefile("rb") as requests:
        while line := requests.readline():
            length = 0
            while (header := requests.readline().strip()) != b"":
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            requests.read(length)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            try:
                peer.sendall(head)
                for piece in pieces(int(line.split(b"/")[1]), per_chunk):
                    peer.sendall(piece)
            except OSError:
                return  # the client has seen enough


# --- The readers: made before the clock starts, each returns how many events it saw -------------------------


def by_scout(url: str) -> Callable[[], int]:
    from scout import Scout

    client = Scout(KEY, base_url=url)

    def read() -> int:
        with client.stream(CONFIG, {"question": "Why?"}) as stream:
            return sum(1 for _ in stream)

    return read


def by_scout_text(url: str) -> Callable[[], int]:
    from scout import Scout

    client = Scout(KEY, base_url=url)

    def read() -> int:
        # An event for each piece of text, and one each for the start and end of the run and its block.
        with client.stream(CONFIG, {"question": "Why?"}) as stream:
            return sum(1 for _ in stream.text()) + 4

    return read


def by_async_scout(url: str) -> Callable[[], int]:
    from scout import AsyncScout

    async def read() -> int:
        seen = 0
        async with AsyncScout(KEY, base_url=url) as client, client.stream(CONFIG, {"question": "Why?"}) as stream:
            async for _ in stream:
                seen += 1
        return seen

    return lambda: asyncio.run(read())


def by_hand(url: str) -> Callable[[], int]:
    def read(response: Any) -> int:
        seen = 0
        for line in response.iter_lines():
            if line.startswith("data:"):
                json.loads(line[5:])
                seen += 1
        return seen

    return over_httpx(url, read)


def by_httpx_sse(url: str) -> Callable[[], int]:
    from httpx_sse import EventSource

    return over_httpx(url, lambda response: sum(1 for e in EventSource(response).iter_sse() if json.loads(e.data)))


def by_openai(url: str) -> Callable[[], int]:
    from openai._streaming import SSEDecoder

    return over_httpx(url, lambda answer: sum(1 for e in SSEDecoder().iter_bytes(answer.iter_bytes()) if e.json()))


def over_httpx(url: str, read: Callable[[Any], int]) -> Callable[[], int]:
    import httpx

    client = httpx.Client(headers={"Authorization": f"Bearer {KEY}"})
    body = {"workflow_config": CONFIG, "inputs": {"question": "Why?"}, "streaming": True}

    def request() -> int:
        with client.stream("POST", f"{url}/v2/workflows/execute", json=body) as response:
            return read(response)

    return request


def by_vendor(url: str) -> Callable[[], int]:
    from scoutos import Scout

    workflows = Scout(api_key=KEY, base_url=url).workflows
    # A stored workflow, because this package cannot stream one that comes with the request.
    return lambda: sum(1 for _ in workflows.run_stream("wf_1", inputs={"question": "Why?"}))


@dataclass(frozen=True)
class Row:
    """One way to read the stream."""

    label: str
    reader: Callable[[str], Callable[[], int]]
    package: str
    budget: float | None = None  # how many times its events per CPU second ours should be
    share: int = 1  # reads one event of so many, where all would take too long


ROWS = {
    "scout": Row("Scout.stream: typed events, and the run", by_scout, "scout"),
    "text": Row("Scout.stream().text()", by_scout_text, "scout"),
    "async": Row("AsyncScout.stream", by_async_scout, "scout"),
    "hand": Row("httpx by hand: iter_lines, json.loads", by_hand, "httpx", 0.5),
    "httpx-sse": Row("httpx-sse, json.loads", by_httpx_sse, "httpx_sse"),
    "openai": Row("openai's SSEDecoder, json.loads", by_openai, "openai"),
    "vendor": Row("scoutos: run_stream of a stored workflow", by_vendor, "scoutos", 100, share=50),
}


# --- Measuring -----------------------------------------------------------------------------------------------


def measured(name: str, server: str, events: int, repeats: int = 1) -> dict[str, float]:
    """What a fresh process says of itself: CPU seconds per event, and its largest resident memory in MB."""
    command = [sys.executable, __file__, "read", name, server, str(events), str(repeats)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def read(name: str, server: str, events: int, repeats: int) -> None:
    row = ROWS[name]
    row.reader(f"{server}/{WARM_UP}")()
    read_all = row.reader(f"{server}/{events}")
    seen = 0
    times: list[float] = []
    for _ in range(repeats):
        begun = time.process_time()
        seen = read_all()
        times.append(time.process_time() - begun)
    seconds = statistics.median(times) / events
    print(json.dumps({"seconds": seconds, "memory": peak_memory(), "missed": events - seen}))


def peak_memory() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage() remembers on Linux what the process was before exec, too
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024**2 if sys.platform == "darwin" else peak / 1024


def compare(server: str, events: int, rounds: int) -> None:
    present = {name: row for name, row in ROWS.items() if importlib.util.find_spec(row.package)}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in present}
    for _ in range(rounds):
        for name, row in present.items():
            results[name].append(measured(name, server, max(events // row.share, WARM_UP)))
    seconds = {name: statistics.median(each["seconds"] for each in own) for name, own in results.items()}

    size = len(update(2))
    print(f"{events:,} events of {size} bytes, medians of {rounds} interleaved rounds\n")
    print("| read by | events per CPU second | µs per event | Scout.stream is | budget |")
    print("|---|--:|--:|--:|--:|")
    for name, row in ROWS.items():
        if name not in present:
            print(f"| {row.label} | skipped: {row.package} is not installed | | | |")
            continue
        ratio = seconds[name] / seconds["scout"]
        budget = f">= {row.budget:g}" if row.budget else ""
        missed = max(each["missed"] for each in results[name])
        label = row.label + (f" ({missed:g} events missed)" if missed else "")
        print(f"| {label} | {1 / seconds[name]:,.0f} | {seconds[name] * 1e6:.1f} | {ratio:.2f} x | {budget} |")


def lengthen(server: str, events: int, rounds: int) -> None:
    short: list[dict[str, float]] = []
    long: list[dict[str, float]] = []
    for _ in range(rounds):
        short.append(measured("scout", server, SHORT, repeats=max(1, min(20, events // SHORT))))
        long.append(measured("scout", server, events))
    memory = statistics.median(each["memory"] for each in long) - statistics.median(each["memory"] for each in short)
    pace = statistics.median(each["seconds"] for each in long) / statistics.median(each["seconds"] for each in short)
    text = sum(len(WORDS[number % len(WORDS)]) for number in range(events)) / 1024**2
    print(f"\nA stream of {events:,} events over one of {SHORT:,}, medians of {rounds} rounds\n")
    print("| what | measured | budget |")
    print("|---|--:|--:|")
    print(f"| memory, of which {text:.1f} MB are the text of the run itself | {memory:+.1f} MB | + 5 MB |")
    print(f"| CPU time per event | {pace:.3f} x | <= 1.05 x |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare ways to read a stream of events.")
    parser.add_argument("--events", type=int, default=50_000, help="of each stream of the comparison (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="of the comparison (%(default)s)")
    parser.add_argument("--long", type=int, default=1_000_000, help="events of a long stream; 0 skips (%(default)s)")
    parser.add_argument("--long-rounds", type=int, default=3, help="of the long stream (%(default)s)")
    parser.add_argument("--events-per-chunk", type=int, default=100, help="in each HTTP chunk (%(default)s)")
    args = parser.parse_args()
    command = [sys.executable, __file__, "serve", str(args.events_per_chunk)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            compare(url, args.events, args.rounds)
            if args.long:
                lengthen(url, args.long, args.long_rounds)
        finally:
            server.terminate()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", per_chunk]:
            serve(int(per_chunk))
        case ["read", name, server, events, repeats]:
            read(name, server, int(events), int(repeats))
        case _:
            main()

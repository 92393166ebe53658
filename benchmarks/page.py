"""The page of the local Scout: what a run pays for it, with nobody looking and with a page open, and what it keeps.

    .venv/bin/python benchmarks/page.py [--rounds 15] [--runs 10000] [--tokens 1000000] [--only cost,...]

Each server is a process of its own. Its CPU time and memory are those that Linux tells of it. Two servers, or two
states of one, take turns, so that what else the machine does meets both. Whoever looks is a process as well, which does
what `page.js` does: it follows the stream of messages and fetches the page again when something has changed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

SERVER = """
import sys
from scout.local import LocalScout

def count(inputs, context):
    for number in range(int(inputs["tokens"])):
        yield f"t{number} "

with LocalScout(page=sys.argv[1] == "page", blocks={"com.example.count": count}) as server:
    print(server.url.rsplit(":", 1)[1], flush=True)
    sys.stdin.read()
"""
_IMPORT = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import page"
_SHORTEST, _TIMES = 0.4, 40  # as in page.js


def block(number: int, archetype: str, settings: dict[str, Any], *needs: int) -> dict[str, Any]:
    return {
        "block_id": f"block_{number}",
        "block_archetype_id": archetype,
        "block_display_name": f"Block {number}",
        "block_inputs": settings,
        "dependencies": [{"block_id": f"block_{need}"} for need in needs],
    }


def asks(number: int, prompt: str, *needs: int) -> dict[str, Any]:
    settings = {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": prompt}]}
    return block(number, "com.scoutos.llm", settings, *needs)


PLAIN = {"workflow_display_name": "Plain", "blocks": [asks(0, "Say {{ inputs.text }}.")]}
WIDE = {
    "workflow_display_name": "300 blocks",
    "blocks": [asks(n, "Say {{ inputs.text }}.", *([n - 10] if n >= 10 else [])) for n in range(300)],
}


def counting(tokens: int) -> dict[str, Any]:
    return {"workflow_display_name": "Long", "blocks": [block(0, "com.example.count", {"tokens": tokens})]}


# --- Servers and clients --------------------------------------------------------------------------------------------


class Server:
    """A local Scout in a process of its own."""

    def __init__(self, page: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, page], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate("")

    def cpu(self) -> float:
        """Seconds of CPU so far; of all threads, and finer than the ticks of /proc/PID/stat."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9

    def memory(self) -> float:
        """Mebibytes of resident set."""
        match = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        return int(match[1]) / 1024 if match else 0.0


class Client:
    """One connection, which costs next to nothing."""

    def __init__(self, port: int) -> None:
        self._wire = socket.create_connection(("127.0.0.1", port))
        self._port = port
        self._read = self._wire.makefile("rb", buffering=256 * 1024)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._read.close()
        self._wire.close()

    def execute(self, config: Any, *, streaming: bool = False, text: str = "hello") -> bytes:
        body = json.dumps({"workflow_config": config, "inputs": {"text": text}, "streaming": streaming}).encode()
        head = f"POST /v2/workflows/execute HTTP/1.1\r\nhost: localhost:{self._port}\r\nauthorization: Bearer x\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._wire.sendall(head.encode() + body)
        return self._answer()

    def get(self, address: str) -> bytes:
        self._wire.sendall(f"GET {address} HTTP/1.1\r\nhost: localhost:{self._port}\r\n\r\n".encode())
        return self._answer()

    def follow(self, address: str) -> Iterator[bytes]:
        self._wire.sendall(f"GET {address} HTTP/1.1\r\nhost: localhost:{self._port}\r\n\r\n".encode())
        yield from self._read

    def _answer(self) -> bytes:
        status = int(self._read.readline().split()[1])
        length = None
        while (line := self._read.readline()) != b"\r\n":
            name, _, value = line.partition(b": ")
            length = int(value) if name == b"content-length" else length
        content = b""
        if length is None:
            parts: list[bytes] = []
            while size := int(self._read.readline(), 16):
                parts.append(self._read.read(size))
                self._read.readline()
            self._read.readline()
            content = b"".join(parts)
        else:
            content = self._read.read(length)
        if status != 200:
            sys.exit(f"status {status}: {content[:300]!r}")
        return content


def look(port: int, address: str, live: str, found: list[float]) -> None:
    """Do what page.js does, for ever."""
    wanted = threading.Event()

    def refresh() -> None:
        with Client(port) as client:
            while wanted.wait():
                wanted.clear()
                began = time.perf_counter()
                client.get(address)
                took = time.perf_counter() - began
                found.append(took)
                time.sleep(max(_SHORTEST, _TIMES * took))

    threading.Thread(target=refresh, daemon=True).start()
    with Client(port) as client:
        for line in client.follow(live):
            if line.startswith(b"event: changed"):
                wanted.set()


@contextlib.contextmanager
def looker(port: int, address: str, live: str) -> Iterator[None]:
    code = f"{_IMPORT}; page.look({port}, {address!r}, {live!r}, [])"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.5)
        yield
    finally:
        process.kill()
        process.wait()


# --- What is measured -----------------------------------------------------------------------------------------------


def nobody_looks(rounds: int) -> None:
    """CPU of the server for one execute, with the page over without it."""
    with Server("page") as page, Server("none") as none, Client(page.port) as one, Client(none.port) as other:
        for name, config, streaming, times in (
            ("plain", PLAIN, False, 40),
            ("streamed", PLAIN, True, 30),
            ("streamed, 1,000 tokens", counting(1_000), True, 1),
        ):
            cpu: dict[str, list[float]] = {"page": [], "none": []}
            for index in range(20 * rounds + 2):
                server, client = ((page, one), (none, other))[(index + index // 2) % 2]
                began = server.cpu()
                for _ in range(times):
                    client.execute(config, streaming=streaming)
                if index >= 2:
                    cpu["page" if server is page else "none"].append((server.cpu() - began) / times)
            ratio(f"nobody looks, {name}: CPU of one execute", cpu["page"], cpu["none"])


def ratio(name: str, with_it: list[float], without: list[float], unit: str = "us", scale: float = 1e6) -> None:
    """Print the ratio of the lower deciles, because what else the machine does only adds, and that of the medians."""
    low = percentile(with_it, 0.1), percentile(without, 0.1)
    middle = statistics.median(with_it) / statistics.median(without)
    print(
        f"{name}: {low[0] * scale:.1f} {unit} over {low[1] * scale:.1f}: {low[0] / low[1]:.3f} (medians {middle:.3f})"
    )


def someone_looks(rounds: int) -> None:
    """Time and CPU of executes under load, with a page open over without one."""
    with Server("page") as server, Client(server.port) as client:
        for _ in range(1_000):
            client.execute(PLAIN)

        def load(streaming: bool, config: Any, times: int) -> tuple[float, float]:
            cpu, began = server.cpu(), time.perf_counter()
            for _ in range(times):
                client.execute(config, streaming=streaming)
            return (time.perf_counter() - began) / times, (server.cpu() - cpu) / times

        for name, streaming, config, times in (
            ("plain executes", False, PLAIN, 1_500),
            ("streams", True, PLAIN, 1_000),
            ("one stream of 20,000 tokens", True, counting(20_000), 1),
        ):
            quiet: list[tuple[float, float]] = []
            seen: list[tuple[float, float]] = []
            for _ in range(max(rounds // 3, 3)):
                quiet.append(load(streaming, config, times))
                with looker(server.port, "/", "/page/live"):
                    seen.append(load(streaming, config, times))
            ratio(f"the list is open, {name}: time", [t for t, _ in seen], [t for t, _ in quiet])
            ratio(f"the list is open, {name}: CPU", [c for _, c in seen], [c for _, c in quiet])
        quiet_times: list[float] = []
        seen_times: list[float] = []
        for index in range(2 * max(rounds // 3, 3)):
            began = time.perf_counter()
            if index % 2 == 0:
                client.execute(counting(40_000), streaming=True)
                quiet_times.append(time.perf_counter() - began)
                continue
            with looker_of_next_run(server.port):
                began = time.perf_counter()
                client.execute(counting(40_000), streaming=True)
                seen_times.append(time.perf_counter() - began)
        ratio("the run is open, its stream of 40,000 tokens: time", seen_times, quiet_times, "ms", 1e3)


@contextlib.contextmanager
def looker_of_next_run(port: int) -> Iterator[None]:
    code = f"{_IMPORT}; page.look_at_next_run({port})"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


def look_at_next_run(port: int) -> None:
    """Wait for a run that is running, and look at it."""
    with Client(port) as client:
        print("ready", flush=True)
        while not (found := re.search(rb'href="(/page/runs/[^"/]*)"', client.get("/?status=running"))):
            time.sleep(0.02)
    address = found[1].decode()
    look(port, address, f"{address}/live", [])


def pages() -> None:
    """Time and size of pages, first and again."""
    with Server("page") as server, Client(server.port) as client:
        client.execute(WIDE)
        address = newest(client)
        show("a run of 300 blocks", client, address)
        for _ in range(2_000):
            client.execute(PLAIN)
        show("the list, 1,000 runs are kept", client, "/")
        show("a run of one block", client, newest(client))
        for _ in range(60):
            client.execute(PLAIN, text="lorem ipsum " * 40_000)
        show("a search that finds nothing in 60 MiB", client, "/?text=nowhere")
        show("a search that finds the newest", client, "/?text=lorem")


def newest(client: Client) -> str:
    found = re.search(rb'href="(/page/runs/[^"/]*)"', client.get("/"))
    assert found
    return found[1].decode()


def show(name: str, client: Client, address: str) -> None:
    times: list[float] = []
    for _ in range(6):
        began = time.perf_counter()
        size = len(client.get(address))
        times.append((time.perf_counter() - began) * 1e3)
    print(f"{name}: first {times[0]:.1f} ms, again {statistics.median(times[1:]):.1f} ms, {size / 1024:.0f} KiB")


def latency(rounds: int) -> None:
    """Latency of executes while pages are rendered, over that while none is."""
    with Server("page") as server, Client(server.port) as client, Client(server.port) as looks:
        client.execute(WIDE)
        wide = newest(client)
        for _ in range(1_000):
            client.execute(PLAIN)
        client.execute(WIDE)
        wide = newest(client)
        for name, address in (("the list", "/"), ("a run of 300 blocks", wide), ("a search", "/?text=nowhere")):
            results: dict[bool, list[float]] = {True: [], False: []}
            for index in range(2 * rounds):
                stop = threading.Event()
                busy = index % 2 == 1

                def render(stop: threading.Event, address: str) -> None:
                    while not stop.is_set():
                        looks.get(address)

                thread = threading.Thread(target=render, args=(stop, address))
                if busy:
                    thread.start()
                for _ in range(100):
                    began = time.perf_counter()
                    client.execute(PLAIN)
                    results[busy].append((time.perf_counter() - began) * 1e3)
                stop.set()
                if busy:
                    thread.join()
            line = ", ".join(
                f"{label} {percentile(results[True], at):.2f} over {percentile(results[False], at):.2f} ms"
                for label, at in (("median", 0.5), ("p99", 0.99))
            )
            print(f"{name} is rendered without a pause; one execute: {line}")


def percentile(values: list[float], at: float) -> float:
    return sorted(values)[int(len(values) * at)]


def memory(runs: int, tokens: int) -> None:
    """Memory after many runs, and after one long stream, with the page and without it."""
    for page in ("page", "none"):
        with Server(page) as server, Client(server.port) as client:
            grown: list[float] = []
            for index in range(runs):
                client.execute(PLAIN, streaming=index % 2 == 0)
                if index + 1 in (runs // 10, runs // 2, runs):
                    grown.append(server.memory())
            sizes = ", ".join(f"{size:.1f}" for size in grown)
            print(f"{page}: resident set after a tenth, half and all of {runs} runs: {sizes} MiB")
        with Server(page) as server, Client(server.port) as client:
            before = server.memory()
            body = {"workflow_config": counting(tokens), "inputs": {}, "streaming": True}
            sent = drain(server.port, body) / 1024 / 1024
            print(f"{page}: one stream of {tokens} tokens, {sent:.0f} MiB: {server.memory() - before:+.1f} MiB")


def drain(port: int, body: Any) -> int:
    content = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port)) as wire:
        head = f"POST /v2/workflows/execute HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer x\r\n"
        head += "connection: close\r\n"
        wire.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        total = 0
        while size := len(wire.recv(1 << 20)):
            total += size
        return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--only", default="cost,open,pages,latency,memory")
    args = parser.parse_args()
    wanted = args.only.split(",")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if "cost" in wanted:
        nobody_looks(args.rounds)
    if "pages" in wanted:
        pages()
    if "latency" in wanted:
        latency(args.rounds)
    if "open" in wanted:
        someone_looks(args.rounds)
    if "memory" in wanted:
        memory(args.runs, args.tokens)


if __name__ == "__main__":
    main()

"""Compare the cost of calls with that of other HTTP clients: alone, many under way, and very many awaited at once.

    python benchmarks/calls.py [--awaited 10000] [--rounds 2] [--seconds 40]

See README.md beside this file for the packages that it compares with. A row whose package is missing is skipped.

Ratios are of medians of interleaved measurements in one run. The server is a process of its own.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from many_calls import CONFIG, INPUTS, await_at_once, compare_with_budgets, running_server, tabulate

RAW = f"""
import httpx
client = httpx.Client(timeout=600, headers={{"Authorization": "Bearer secret_benchmark"}})
def call():
    body = {{"workflow_config": {CONFIG!r}, "inputs": {INPUTS!r}, "streaming": False}}
    answer = client.post(URL + "/v2/workflows/execute", params={{"environment": "production"}}, json=body)
    answer.raise_for_status()
    return answer.json()
"""
FACADE = f"""
from scout import Scout
client = Scout("secret_benchmark", base_url=URL)
def call():
    return client.execute({CONFIG!r}, {INPUTS!r})
"""
TRACED = FACADE.replace("base_url=URL", "base_url=URL, tracing=Tracing(TracerProvider())").replace(
    "from scout import Scout",
    "from opentelemetry.sdk.trace import TracerProvider\nfrom scout import Scout\nfrom scout.otel import Tracing",
)
HOOKED = FACADE.replace("base_url=URL", "base_url=URL, on_request=id, on_response=id")
CPU = """
import time
for _ in range(100): call()
begun = time.process_time()
for _ in range(500): call()
print((time.process_time() - begun) / 500)
"""


def wall(program: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - begun


def printed(program: str) -> float:
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def interleaved(measure: Callable[[str], float], programs: list[str], rounds: int) -> list[float]:
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, own in zip(programs, times, strict=True):
            own.append(measure(program))
    return [statistics.median(own) for own in times]


def compare_one(server: str) -> None:
    """Print what one call at a time costs, and what comes before it."""
    url = f"URL = {server + '/0'!r}\n"
    print("| one call at a time | measured | budget |\n|---|--:|--:|")
    bare, imported = interleaved(wall, ["pass", "import scout"], 25)
    print(f"| `import scout`, over a bare interpreter | {(imported - bare) * 1000:.1f} ms | <= 12 ms |")
    raw, facade = interleaved(wall, [url + RAW + "call()", url + FACADE + "call()"], 15)
    print(f"| process start to first result, over `httpx.Client` | {facade / raw:.2f} | <= 1.10 |")
    raw, facade = interleaved(printed, [url + RAW + CPU, url + FACADE + CPU], 7)
    print(f"| CPU of one `execute`, over `httpx.Client` | {facade / raw:.2f} | <= 1.05 |", flush=True)
    facade, hooked = interleaved(printed, [url + FACADE + CPU, url + HOOKED + CPU], 7)
    print(f"| CPU of one `execute` with two hooks, over one without | {hooked / facade:.2f} | |", flush=True)
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        print("(no opentelemetry-sdk: traces are skipped)")
        return
    facade, traced = interleaved(printed, [url + FACADE + CPU, url + TRACED + CPU], 7)
    print(f"| CPU of one `execute` with `tracing`, over one without | {traced / facade:.2f} | <= 1.20 |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the cost of calls with that of other HTTP clients.")
    parser.add_argument("--awaited", type=int, default=10_000, help="calls awaited at once; 0 skips (%(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each cell of the tables (%(default)s)")
    parser.add_argument("--seconds", type=float, default=40, help="limit of one measurement (%(default)s)")
    args = parser.parse_args()
    with running_server() as server:
        compare_one(server)
        tabulate("threads", server, args.rounds, args.seconds)
        compare_with_budgets(tabulate("async", server, args.rounds, args.seconds))
        if args.awaited:
            await_at_once(server, args.awaited, 3 * args.seconds)


if __name__ == "__main__":
    main()

"""What the facade costs beside raw httpx: import, process start to first result, CPU of one call.

    .venv/bin/python benchmarks/calls.py

Ratios are of medians of interleaved measurements in one run. The server is a process of its own.
"""

import http.server
import json
import statistics
import subprocess
import sys
import time

ANSWER = json.dumps(
    {
        "run": {
            "stop_reason": "workflow_run_completed",
            "state": {"inputs": {"user_message": "Hi"}, "llm": {"output": "Hello there. " * 20}},
            "errors": [],
            "session_id": "sess_1",
            "workflow_run_id": "run_1",
        },
        "workflow_id": "wf_1",
        "output_block_id": "llm",
    }
).encode()

CONFIG = {
    "blocks": [
        {
            "block_id": name,
            "block_archetype_id": f"com.scoutos.{name}",
            "block_display_name": name,
            "block_inputs": {
                "model": "gpt-4o",
                "prompt_items": [{"role": "user", "content": "{{inputs.user_message}}"}],
            },
            "dependencies": [],
        }
        for name in ("inputs", "llm")
    ]
}
INPUTS = {"user_message": "Hi"}

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
CPU = """
import time
for _ in range(100): call()
begun = time.process_time()
for _ in range(500): call()
print((time.process_time() - begun) / 500)
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request with the same run."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
        )

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def serve() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def wall(program: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - begun


def printed(program: str) -> float:
    return float(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


def interleaved(measure: object, programs: list[str], rounds: int) -> list[float]:
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, own in zip(programs, times, strict=True):
            own.append(measure(program))  # type: ignore[operator]
    return [statistics.median(own) for own in times]


def main() -> None:
    server = subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        url = f"URL = {server.stdout.readline().strip()!r}\n"
        bare, imported = interleaved(wall, ["pass", "import scout"], 25)
        print(f"import scout, over a bare interpreter: {(imported - bare) * 1000:.1f} ms (budget 15)")
        raw, facade = interleaved(wall, [url + RAW + "call()", url + FACADE + "call()"], 15)
        print(f"process start to first result, over raw httpx: {facade / raw:.2f} (budget 1.15)")
        raw, facade = interleaved(printed, [url + RAW + CPU, url + FACADE + CPU], 7)
        print(f"CPU of one execute, over raw httpx: {facade / raw:.2f} (budget 1.15)")
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()

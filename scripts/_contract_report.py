"""What a run of scripts/contract has seen: whether every operation succeeded, and not only refusals kept their form.

_contract_report.py REPORT...    (Schemathesis's reports as JSON Lines)
"""

import base64
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

EXECUTE = re.compile(r"/v2/workflows/(?:([^/?]+)/)?execute(?:\?|$)")
LAST = {"workflow_run_completed", "workflow_run_failed"}
READ_OF_A_STREAM = 20  # events; Schemathesis reads no more
METHODS = {"get", "post", "put", "delete"}


def main() -> int:
    """Count the successes; 1 when an operation or a kind of run had none, or a stream ended without its last event."""
    operations = patterns()
    seen: Counter[str] = Counter({f"{door}, {kind}": 0 for door in ("config", "by id") for kind in ("JSON", "stream")})
    seen.update(dict.fromkeys(operations, 0))
    problems: list[str] = []
    for method, uri, response in (answer for report in sys.argv[1:] for answer in answers(Path(report))):
        if response["status_code"] != 200 or method == "HEAD":
            continue
        path = urlsplit(uri).path
        for operation, (its_method, pattern) in operations.items():  # the first one that fits: `{id}` fits `execute`
            if its_method == method and pattern.fullmatch(path):
                seen[operation] += 1
                break
        is_stream = response["headers"]["content-type"][0].startswith("text/event-stream")
        if is_stream and body(response).count(b"\n\n") >= READ_OF_A_STREAM:
            continue
        if path == "/v2/run_logs" and not re.search(rb'^data: {"final":true[^\n]*\n\n\Z', body(response), re.MULTILINE):
            problems.append(f"the page of {uri} has no end")
        match = EXECUTE.search(uri)
        if match is None:
            continue
        seen[f"{'by id' if match[1] else 'config'}, {'stream' if is_stream else 'JSON'}"] += 1
        names = re.findall(rb"^event: (\S+)$", body(response), re.MULTILINE) if is_stream else []
        seen.update(f"event {name.decode()}" for name in names)
        if is_stream and (not names or names[-1].decode() not in LAST):
            problems.append(f"a stream of {uri} ended without its last event")
    for kind, count in sorted(seen.items()):
        print(f"contract: {kind}: {count}")
    problems += [f"nothing was ever answered with 200: {kind}" for kind, count in seen.items() if not count]
    for problem in problems:
        print(f"contract: {problem}", file=sys.stderr)
    return 1 if problems else 0


def patterns() -> dict[str, tuple[str, re.Pattern[str]]]:
    """Method and path of each operation of the specification; paths without parameters come first."""
    spec = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))
    return {
        operation["operationId"]: (method.upper(), re.compile(re.sub(r"{[^}]*}", "[^/]+", path)))
        for path, item in sorted(spec["paths"].items(), key=lambda each: each[0].count("{"))
        for method, operation in item.items()
        if method in METHODS
    }


def answers(report: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, address and answer of each request."""
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for exchange in (recorder.get("interactions") or {}).values():
                if exchange["response"]:
                    yield exchange["request"]["method"], exchange["request"]["uri"], exchange["response"]


def body(response: dict[str, Any]) -> bytes:
    content = response["content"]
    return base64.b64decode(content["$base64"] if isinstance(content, dict) else content)


if __name__ == "__main__":
    sys.exit(main())

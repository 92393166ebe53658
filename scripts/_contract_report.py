"""What a run of scripts/contract has seen: whether runs and streams succeeded, and not only refusals kept their form.

_contract_report.py REPORT    (Schemathesis's report as JSON Lines)
"""

import base64
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

EXECUTE = re.compile(r"/v2/workflows/(?:([^/?]+)/)?execute(?:\?|$)")
LAST = {"workflow_run_completed", "workflow_run_failed"}


def main() -> int:
    """Count the answers to runs; 1 when a kind of them never came, or a stream ended without its last event."""
    seen: Counter[str] = Counter({f"{door}, {kind}": 0 for door in ("config", "by id") for kind in ("JSON", "stream")})
    problems: list[str] = []
    for uri, response in answers(Path(sys.argv[1])):
        match = EXECUTE.search(uri)
        if match is None or response["status_code"] != 200:
            continue
        is_stream = response["headers"]["content-type"][0].startswith("text/event-stream")
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


def answers(report: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Address and answer of each request."""
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for exchange in (recorder.get("interactions") or {}).values():
                if exchange["response"]:
                    yield exchange["request"]["uri"], exchange["response"]


def body(response: dict[str, Any]) -> bytes:
    content = response["content"]
    return base64.b64decode(content["$base64"] if isinstance(content, dict) else content)


if __name__ == "__main__":
    sys.exit(main())

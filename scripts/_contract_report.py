"""What a run of scripts/contract has seen: whether every operation succeeded, and not only refusals kept their form.

_contract_report.py REPORT...    (reports of Schemathesis as JSON Lines)
"""

import base64
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SPEC = json.loads((resources.files("scout_generated") / "openapi.json").read_text("utf-8"))
LAST = {"workflow_run_completed", "workflow_run_failed"}


def main() -> int:
    """Count the answers with 200; 1 when one of the spec never came, or a stream ended without its last event."""
    seen: Counter[str] = Counter()
    for _, operation in operations():
        seen.update({f"{operation['operationId']}, {kind}": 0 for kind in operation["responses"]["200"]["content"]})
    problems: list[str] = []
    for request, response in chain.from_iterable(map(answers, map(Path, sys.argv[1:]))):
        asked = f"{request['method'].upper()} {urlsplit(request['uri']).path}"
        operation = next((each for pattern, each in operations() if pattern.fullmatch(asked)), None)
        if operation is None or response["status_code"] != 200:
            continue
        kind = response["headers"]["content-type"][0].partition(";")[0]
        seen[f"{operation['operationId']}, {kind}"] += 1
        if kind == "text/event-stream":
            text = body(response).decode()
            seen.update(f"event {name}" for name in re.findall(r"^event: (\S+)$", text, re.MULTILINE))
            rows = re.findall(r"^data: (.*)$", text, re.MULTILINE)
            last = json.loads(rows[-1]) if rows else {}
            if last.get("name") not in LAST and last.get("final") is not True:
                problems.append(f"a stream of {request['uri']} ended without its last event")
    for name, count in sorted(seen.items()):
        print(f"contract: {name}: {count}")
    problems += [f"nothing was ever answered with 200: {name}" for name, count in seen.items() if not count]
    for problem in problems:
        print(f"contract: {problem}", file=sys.stderr)
    return 1 if problems else 0


def operations() -> Iterator[tuple[re.Pattern[str], dict[str, Any]]]:
    """Patterns of method and path, and their operations; a path with fewer parameters comes first."""
    for path, item in sorted(SPEC["paths"].items(), key=lambda each: each[0].count("{")):
        for method, operation in item.items():
            if method != "parameters":
                yield re.compile(f"{method.upper()} " + re.sub(r"\{\w+\}", "[^/]+", path)), operation


def answers(report: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each request with its answer."""
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            for exchange in (recorder.get("interactions") or {}).values():
                if exchange["response"]:
                    yield exchange["request"], exchange["response"]


def body(response: dict[str, Any]) -> bytes:
    content = response["content"]
    return base64.b64decode(content["$base64"] if isinstance(content, dict) else content)


if __name__ == "__main__":
    sys.exit(main())

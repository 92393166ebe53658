"""Store a workflow with revisions and runs in the local Scout, and print their ids as configuration of Schemathesis.

_contract_seed.py URL    (the key is in CONTRACT_KEY)

Many questions then ask for these. An operation that hears only of what does not exist shows little.
"""

import json
import os
import sys
import urllib.request
from typing import Any

CONFIG = {
    "blocks": [
        {
            "block_id": "hello",
            "block_display_name": "Hello",
            "block_archetype_id": "com.scoutos.text",
            "block_inputs": {"text": "Hello"},
            "is_output": True,
        }
    ]
}


def main() -> None:
    """Make everything, and print the configuration."""
    workflow_id = ask("POST", "/v2/workflows?workflow_key=contract", CONFIG)["data"]["workflow_id"]
    path = f"/v2/workflows/{workflow_id}"
    revisions = [ask("POST", f"/v2/workflows/revisions?workflow_id={workflow_id}", CONFIG) for _ in range(50)]
    sessions = [f"sess_contract_{number}" for number in range(5)]
    runs = [ask("POST", f"{path}/execute?session_id={each}", {"streaming": False}) for each in sessions]
    environments = {each["environment_config"]["name"]: each for each in ask("GET", f"{path}/environments")["data"]}
    always = {"workflow_id": workflow_id, "environment_id": environments["staging"]["environment_id"]}
    often = {
        "revision_id": [each["data"]["revision_id"] for each in revisions],
        "session_id": sessions,
        "workflow_run_id": [each["run"]["workflow_run_id"] for each in runs],
    }
    for name, values in often.items():
        print(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}")
    print("[parameters]")
    for place in ("path", "query"):
        for name, value in always.items():
            print(f'"{place}.{name}" = "{value}"')
        for name in often:
            print(f'"{place}.{name}" = {{ dictionary = "{name}", probability = 0.7 }}')


def ask(method: str, path: str, body: Any = None) -> Any:
    """Return the JSON of an answer."""
    headers = {"Authorization": f"Bearer {os.environ['CONTRACT_KEY']}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sys.argv[1] + path, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


if __name__ == "__main__":
    main()

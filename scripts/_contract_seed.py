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
    environments = {each["environment_config"]["name"]: each for each in ask("GET", f"{path}/environments")["data"]}
    run = ask("POST", f"{path}/execute", {"streaming": False})["run"]
    known = {
        "workflow_id": workflow_id,
        "environment_id": environments["staging"]["environment_id"],
        "workflow_run_id": run["workflow_run_id"],
    }
    print(f"[dictionaries.revisions]\nvalues = {json.dumps([each['data']['revision_id'] for each in revisions])}")
    print("[parameters]")
    for place in ("path", "query"):
        for name, value in known.items():
            print(f'"{place}.{name}" = "{value}"')
        # Not always the same: they are deleted as well.
        print(f'"{place}.revision_id" = {{ dictionary = "revisions", probability = 0.7 }}')


def ask(method: str, path: str, body: Any = None) -> Any:
    """Return the JSON of an answer."""
    headers = {"Authorization": f"Bearer {os.environ['CONTRACT_KEY']}", "Content-Type": "application/json"}
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(sys.argv[1] + path, content, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


if __name__ == "__main__":
    main()

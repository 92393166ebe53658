"""Store and run a workflow, and print a configuration for Schemathesis that names it: it cannot guess ids.

_contract_seed.py URL    (the key is in CONTRACT_KEY)
"""

import os
import sys
from typing import Any

import httpx

BLOCK = {"block_id": "a", "block_archetype_id": "com.scoutos.text", "block_display_name": "A"}
CONFIG = {"blocks": [{**BLOCK, "block_inputs": {"text": "Hello"}}]}


def main() -> None:
    """Print TOML: the parameters of the operations that Schemathesis is to try with ids that exist."""
    with httpx.Client(base_url=sys.argv[1], headers={"authorization": f"Bearer {os.environ['CONTRACT_KEY']}"}) as http:

        def call(method: str, path: str, **options: Any) -> Any:
            return http.request(method, path, **options).raise_for_status().json()

        first = call("POST", "/v2/workflows", json=CONFIG)["data"]
        workflow_id = first["workflow_id"]
        kept = call("POST", "/v2/workflows/revisions", params={"workflow_id": workflow_id}, json=CONFIG)["data"]
        path = f"/v2/workflows/{workflow_id}"
        environments = call("GET", f"{path}/environments")["data"]
        # The one that the example of its update names: random names are refused.
        (environment,) = (each for each in environments if each["environment_config"]["name"] == "staging")
        call("POST", f"{path}/execute", params={"session_id": "sess_contract"}, json={})
    of_all = {"workflow_id": workflow_id, "environment_id": environment["environment_id"]}
    print(_table("parameters", {**of_all, "revision_id": kept["revision_id"]}))
    for operation, parameters in (
        ("delete_workflow_revision", {"revision_id": first["revision_id"]}),
        ("get_run_log", {"session_id": "sess_contract"}),
    ):
        print(f'[[operations]]\ninclude-operation-id = "{operation}"')
        print(_table("operations.parameters", {"workflow_id": workflow_id, **parameters}))


def _table(name: str, values: dict[str, str]) -> str:
    return "\n".join([f"[{name}]", *(f'{key} = "{value}"' for key, value in values.items())])


if __name__ == "__main__":
    main()

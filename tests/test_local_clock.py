"""The local Scout under a clock that a test stops: its dates follow that clock, its waits do not."""

import subprocess
import sys

import pytest

pytest.importorskip("freezegun")

# In a process of its own, because freezegun changes every module that is loaded.
PROGRAM = """
import time
import freezegun, httpx
from scout.local import Fault, LocalScout

block = {"block_id": "a", "block_display_name": "A", "block_archetype_id": "com.scoutos.text"}
text = "{% for i in range(3) %}{{ i }}{% endfor %} {{ __exp_global.current_date }}"
body = {"workflow_config": {"blocks": [{**block, "block_inputs": {"text": text}}]}}
reports = []
for began in (False, True):  # first where even the server's modules are loaded under the stopped clock
    server = LocalScout(faults=[Fault(delay=0.1)], on_access=lambda access: reports.append(access.seconds))
    if began:
        server.start()
    with freezegun.freeze_time("2040-01-02"):
        assert time.monotonic() == time.monotonic()
        server.start()
        url, key = f"{server.url}/v2/workflows/execute", {"authorization": "Bearer x"}
        answer = httpx.post(url, json=body, headers=key, timeout=9)
        print(began, answer.json()["run"]["state"]["a"]["output"])
        server.close()
assert len(reports) == 2
assert all(0.1 <= seconds < 9 for seconds in reports), reports
"""


def test_a_frozen_clock() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("False 012 2040-01-02\nTrue 012 2040-01-02\n", 0), done.stderr

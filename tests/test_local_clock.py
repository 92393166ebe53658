"""The local Scout under a clock that a test stops or changes: its dates follow that clock, its waits do not."""

import threading
import time
from typing import Any

import httpx
import pytest

from scout.local import Fault, LocalScout
from scout.local.clock import monotonic

freezegun = pytest.importorskip("freezegun")

BLOCK = {"block_id": "a", "block_display_name": "A", "block_archetype_id": "com.scoutos.text"}
TEXT = "{% for i in range(3) %}{{ i }}{% endfor %} {{ __exp_global.current_date }}"
KEY = {"authorization": "Bearer key"}


def within(seconds: float, function: Any) -> Any:
    """Call a function in a thread, so that a server that hangs fails this test alone."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, "it hangs"
    return results[0]


def ask(server: LocalScout) -> Any:
    body = {"workflow_config": {"blocks": [{**BLOCK, "block_inputs": {"text": TEXT}}]}}
    return httpx.post(f"{server.url}/v2/workflows/execute", json=body, headers=KEY, timeout=5).json()


@pytest.mark.parametrize("begins", ["before the server", "after the server"])
def test_a_frozen_clock(begins: str) -> None:
    freezer = freezegun.freeze_time("2040-01-02")
    server = LocalScout(faults=[Fault(delay=0.1)])
    if begins == "after the server":
        server.start()
    with freezer:
        server.start()
        answer = within(10, lambda: ask(server))
        within(5, lambda: server.close() or True)
    assert answer["run"]["state"]["a"]["output"] == "012 2040-01-02"


def test_its_clock_goes_on() -> None:
    with freezegun.freeze_time("2040-01-02"):
        assert time.monotonic() == time.monotonic()
        began = monotonic()
        while monotonic() == began:
            pass
        assert 0 < monotonic() - began < 5

"""Hostile requests, all at once: each gets an error of its own, and ordinary runs beside them notice nothing."""

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from scout.local import LocalScout
from scout.local.renderer import Renderer

Json = dict[str, Any]
KEY = {"authorization": "Bearer key"}
EXECUTE = "/v2/workflows/execute"


def text(block_id: str, template: str, *needs: str) -> Json:
    return {
        "block_id": block_id,
        "block_archetype_id": "com.scoutos.text",
        "block_display_name": block_id,
        "block_inputs": {"text": template},
        "dependencies": [{"block_id": needed} for needed in needs],
    }


def run(http: httpx.Client, *blocks: Json) -> httpx.Response:
    return http.post(EXECUTE, json={"workflow_config": {"blocks": list(blocks)}})


def fails(template: str, said: str) -> Callable[[httpx.Client], None]:
    def check(http: httpx.Client) -> None:
        (error,) = run(http, text("bad", template)).json()["run"]["errors"]
        assert error.startswith('Block "bad" failed: the template in text')
        assert said in error

    return check


def is_refused(method: str, path: str, status: int, said: str, **request: Any) -> Callable[[httpx.Client], None]:
    def check(http: httpx.Client) -> None:
        url = httpx.URL(http.base_url).copy_with(raw_path=path.encode())
        response = http.request(method, url, **request)
        assert response.status_code == status, response.text[:500]
        assert said in response.text

    return check


def blocks_in_a_circle(http: httpx.Client) -> None:
    ring = [text(f"b{n}", "x", f"b{(n + 1) % 4_000}") for n in range(4_000)]
    response = run(http, *ring)
    assert response.status_code == 422
    assert "wait" in response.json()["detail"][0]["msg"]


def thousands_of_blocks(http: httpx.Client) -> None:
    chain = [text("b0", "x"), *(text(f"b{n}", "y", f"b{n - 1}") for n in range(1, 4_000))]
    state = run(http, *chain).json()["run"]["state"]
    assert state["b3999"] == {"output": "y"}
    assert len(state) == 4_002


JSON = {"content-type": "application/json"}
DEEP = b'{"workflow_config":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
HOSTILE: dict[str, Callable[[httpx.Client], None]] = {
    "loops": fails("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "2 seconds"),
    "allocates": fails("{{ 'a' * 10 ** 10 }}", "text"),
    "adds up": fails(
        "{% set n = namespace(t='a') %}{% for i in range(99) %}{% set n.t = n.t + n.t %}{% endfor %}", "text"
    ),
    "reaches for classes": fails("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "reaches by filter": fails("{{ ''|attr('__class__') }}", "text"),
    "reaches by format": fails("{{ '{0.__class__}'.format(1) }}", "text"),
    "50 MB": is_refused("POST", EXECUTE, 413, "20971520", content=b" " * 50_000_000, headers=JSON),
    "deep JSON": is_refused("POST", EXECUTE, 422, "nested too deeply", content=DEEP, headers=JSON),
    "many mistakes": is_refused("POST", EXECUTE, 422, "missing", json={"workflow_config": {"blocks": [{}] * 5_000}}),
    "an id with slashes": is_refused("GET", "/v2/workflows/..%2F..%2Fetc%2Fpasswd", 404, "../../etc/passwd"),
    "an id of bytes": is_refused("DELETE", "/v2/workflows/%ff%00%0d%0a", 404, "There is no workflow"),
    "a circle": blocks_in_a_circle,
    "4,000 blocks": thousands_of_blocks,
}


@pytest.mark.timeout(120)
def test_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The limit of 5 seconds has its test in test_local_templates; a loop uses all of it.
    monkeypatch.setattr("scout.local.renderer.Renderer", functools.partial(Renderer, seconds=2.0))
    problems: list[str] = []
    slowest = 0.0
    is_over = threading.Event()

    with LocalScout() as server:

        def attack(name: str) -> None:
            try:
                with httpx.Client(base_url=server.url, headers=KEY, timeout=60) as http:
                    HOSTILE[name](http)
            except Exception as error:  # noqa: BLE001 - the test judges it
                problems.append(f"{name}: {error!r}")

        def live_on() -> None:
            nonlocal slowest
            with httpx.Client(base_url=server.url, headers=KEY, timeout=60) as http:
                number = 0
                while not is_over.wait(0.02):
                    number += 1
                    began = time.perf_counter()
                    answer = run(http, text("a", "number {{ 0 + " + str(number) + " }}")).json()
                    slowest = max(slowest, time.perf_counter() - began)
                    if answer["run"]["state"].get("a") != {"output": f"number {number}"}:
                        problems.append(f"an ordinary run: {answer}")

        ordinary = threading.Thread(target=live_on)
        ordinary.start()
        attacks = [threading.Thread(target=attack, args=(name,)) for name in HOSTILE]
        for thread in attacks:
            thread.start()
        for thread in attacks:
            thread.join(90)
        is_over.set()
        ordinary.join(60)

        assert problems == []
        with httpx.Client(base_url=server.url, headers=KEY) as http:
            assert run(http, text("a", "b")).json()["run"]["state"]["a"] == {"output": "b"}
    assert slowest < 30

"""Numbers beyond those of Python: an answer that holds them is whole, is printed as JSON, and can be sent again."""

import json
import math
import os
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from commands import run_here
from servers import KEY, Caller, Server, answer, run_answer
from test_events import DONE, STARTED, says, updates, watch

from scout import Run, RunOutputError, RunStatus, Scout
from scout._json import json_fault, parse_json, write_json
from scout.cassettes import record, replay

DIGITS = "9" * 5000
NUMBERS = {
    "digits": (DIGITS, Decimal(DIGITS)),
    "fewer than none": (f"-{DIGITS}", Decimal(f"-{DIGITS}")),
    "digits of a fraction": (f"{DIGITS}.5", Decimal(f"{DIGITS}.5")),
    "large": ("1e400", Decimal("1e400")),
    "very large": ("-2.50E+99999999", Decimal("-2.50E+99999999")),
    "small": ("1e-400", Decimal("1e-400")),
}
NAMES = list(NUMBERS)
BODY = json.dumps(run_answer({"text": "the answer", "n": "@"})).encode()


def body_with(number: str) -> bytes:
    return BODY.replace(b'"@"', number.encode())


def refused(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def strictly(text: str) -> Any:
    """Parse as RFC 8259 has it, with numbers as text."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=refused)


@pytest.mark.parametrize("name", NAMES)
def test_they_are_parsed_and_written_whole(name: str) -> None:
    text, value = NUMBERS[name]
    parsed = parse_json(f"[{text}, 1, 1.5]".encode())

    assert parsed == [value, 1, 1.5]
    assert parse_json(write_json(parsed)) == parsed
    assert json_fault(parsed) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0e400", 0.0),
        ("-1e9999999999999999999", -math.inf),
        ("1e-9999999999999999999", 0.0),
        ("-0.0", -0.0),
        ("5e-324", 5e-324),
        ("1e308", 1e308),
        ("9" * 4300, 10**4300 - 1),
    ],
)
def test_other_numbers_stay_what_they_were(text: str, value: float) -> None:
    parsed = parse_json(text)

    assert (type(parsed), repr(parsed)) == (type(value), repr(value))


@pytest.mark.parametrize("text", ["1" * 2_000_000, "1" * 2_000_000 + ".5", "0." + "0" * 2_000_000 + "1"], ids=range(3))
def test_megabytes_of_digits_take_linear_time(text: str) -> None:
    """As an int, these would take minutes."""
    assert Decimal(write_json(parse_json(text))) == Decimal(text)


def test_what_is_not_a_number_is_written_as_null_or_refused() -> None:
    value = {"a": [math.nan, -math.inf, Decimal("NaN"), 'NaN "Infinity\\'], "b": Decimal(10)}

    assert strictly(write_json(value)) == {"a": [None, None, None, 'NaN "Infinity\\'], "b": "10"}
    for part in (math.nan, Decimal("Infinity")):
        assert json_fault([part]) is not None
        with pytest.raises(ValueError, match="JSON"):
            write_json([part], strict=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_with_one_arrives_and_is_paid_for_once(call: Caller, name: str, tmp_path: Path) -> None:
    text, value = NUMBERS[name]
    path = tmp_path / "run.jsonl"
    with Server(answer(200, body_with(text))) as server:
        options = {"at_least_once": True, "transport": record(path)}
        run = call.run(server.url, client=options)
        sent = call.run(server.url, run.output)

    assert server.hits == 2
    assert run.output == {"text": "the answer", "n": value}
    assert Decimal(strictly(run.text)["n"]) == value
    assert pickle.loads(pickle.dumps(run)) == run == sent
    assert str(value)[:9] in repr(run)
    assert Decimal(strictly(server.requests[1].body.decode())["inputs"]["n"]) == value
    assert call.run("http://127.0.0.1:9", client={"transport": replay(path)}).raw == run.raw
    for line in path.read_text().splitlines():
        strictly(line)


def test_an_exponent_that_nothing_can_hold_costs_no_answer(call: Caller) -> None:
    with Server(answer(200, body_with("1e9999999999999999999"))) as server:
        run = call.run(server.url, client={"at_least_once": True})

    assert server.hits == 1
    assert run.output == {"text": "the answer", "n": math.inf}
    assert strictly(run.text) == {"text": "the answer", "n": None}


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_with_one_goes_on(call: Caller, name: str) -> None:
    text, value = NUMBERS[name]
    side = updates("other", {"output": "@"}, "complete").replace(b'"@"', text.encode())
    with Server(
        answer(200, STARTED + says("the ") + side + says("answer") + DONE, content_type="text/event-stream")
    ) as server:
        found = watch(call, server.url, text=True)

    assert found.error is None
    assert "".join(found.events) == "the answer"
    assert found.run.outputs["other"] == value


def test_the_local_scout_carries_them_both_ways() -> None:
    given = {f"n{place}": value for place, (_, value) in enumerate(NUMBERS.values())}
    block = {"block_id": "a", "block_archetype_id": "my.echo", "block_display_name": "A", "block_inputs": {}}
    text = {"block_archetype_id": "com.scoutos.text", "block_inputs": {"text": "{{ inputs | tojson }}"}}
    with Scout.local(blocks={"my.echo": lambda _, context: context.inputs}) as scout:
        run = scout.execute({"blocks": [block], "extra": given}, given)
        printed = scout.execute({"blocks": [block | text]}, given)
        stored = scout.workflows.create({"blocks": [block], "extra": given})

    assert run.output == given
    assert printed.json() == given
    assert stored.config["extra"] == given


@pytest.mark.parametrize("stream", [[], ["--stream"]], ids=["whole", "stream"])
@pytest.mark.parametrize("number", [DIGITS, "1e400", "NaN", "-Infinity"], ids=["digits", "large", "nan", "infinity"])
def test_the_command_line_prints_json(number: str, stream: list[str], tmp_path: Path) -> None:
    workflow = tmp_path / "w.json"
    workflow.write_text('{"blocks": []}')
    events = STARTED + updates("answer", {"output": "@"}, "complete").replace(b'"@"', number.encode()) + DONE
    behaviour = answer(200, events, content_type="text/event-stream") if stream else answer(200, body_with(number))
    with Server(behaviour) as server:
        env = {"SCOUT_API_KEY": KEY, "SCOUT_BASE_URL": server.url, "PATH": os.environ["PATH"]}
        done = run_here("run", workflow, "--json", *stream, env=env)

    assert done.returncode == 0, done.stderr
    parsed = [strictly(line) for line in done.stdout.splitlines()]
    assert ("9" * 5000 in done.stdout) == (number == DIGITS)
    assert parsed


@pytest.mark.parametrize("text", ["NaN", "[1, Infinity]", '```json\n{"a": -Infinity}\n```'])
def test_text_with_a_constant_that_is_not_json(text: str) -> None:
    run = Run("r", "s", "w", RunStatus.COMPLETED, {"a": {"output": text}}, output_block_id="a")

    with pytest.raises(RunOutputError, match="is not JSON"):
        run.json()


@pytest.mark.parametrize("name", NAMES)
def test_text_with_one_is_json(name: str) -> None:
    text, value = NUMBERS[name]
    run = Run("r", "s", "w", RunStatus.COMPLETED, {"a": {"output": f"[{text}]"}}, output_block_id="a")

    assert run.json() == [value]


def test_an_error_with_one_is_quoted() -> None:
    with (
        Server(answer(503, f'{{"detail": {{"left": {DIGITS}, "rate": NaN}}}}')) as server,
        Scout(KEY, base_url=server.url) as scout,
        pytest.raises(Exception, match='"left": 9999') as caught,
    ):
        scout.execute({"blocks": []})
    assert caught.value.body["detail"]["left"] == Decimal(DIGITS)

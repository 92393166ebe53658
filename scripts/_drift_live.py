"""Compares openapi.yaml with what the API sends: one run as JSON, one as a stream, one request for what is not there.

The key and the address are those of the client: SCOUT_API_KEY, SCOUT_BASE_URL. Nothing that ran is sent again. Besides
comparing, it answers those of the open questions about the API that such runs can answer.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from _drift_apis import Json, content_schema
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from scout import Scout, ScoutError

BLOCK = "answer"
UNKNOWN = "x_drift"  # a field of a config that no server knows
INPUTS = {"word": "lighthouse"}
CONFIG: Json = {
    "workflow_display_name": "Drift of the description",
    "blocks": [
        {
            "block_id": "inputs",
            "block_archetype_id": "com.scoutos.input",
            "block_display_name": "Inputs",
            "block_inputs": {"items": [{"key": "word", "display_name": "Word", "input_type": "short_text"}]},
        },
        {
            "block_id": BLOCK,
            "block_archetype_id": "com.scoutos.llm",
            "block_display_name": "Answer",
            "block_inputs": {
                "model": "gpt-4o-mini",
                "max_tokens": 16,
                "prompt_items": [{"role": "user", "content": "Say: {{inputs.word}}"}],
            },
            "is_output": True,
            "dependencies": [{"block_id": "inputs"}],
        },
    ],
}
EXECUTE = "/v2/workflows/execute"
ENDS = ("[DONE]", "DONE")  # after the last event, in other APIs
MISSING = "/v2/workflows/wf_that_is_not_there"


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; `None` when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True)
class Recorded:
    """What was received. `takes_unknown`: whether a config with a field that no server knows ran, if that is known."""

    run: Reply
    stream: Reply
    missing: Reply
    takes_unknown: bool | None


def record(client: httpx.Client) -> Recorded:
    """Run the config twice, and ask for a workflow that does not exist."""

    def execute(config: Json, *, streaming: bool) -> Reply:
        body = {"workflow_config": config, "inputs": INPUTS, "streaming": streaming}
        with client.stream("POST", EXECUTE, json=body) as response:
            return _reply(response)

    with client.stream("GET", MISSING) as response:
        missing = _reply(response)
    first = execute({**CONFIG, UNKNOWN: True}, streaming=False)
    run = first if first.status != 422 else execute(CONFIG, streaming=False)  # 422 did not start a run
    takes_unknown = run is first if run.status == 200 else None
    return Recorded(run, execute(CONFIG, streaming=True), missing, takes_unknown)


def _reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, response.headers.get("content-type", ""), b"".join(response.iter_bytes()))


# --- Does it fit? -------------------------------------------------------------------------------------------------


class Schemas:
    """The schemas of the spec, for answers."""

    def __init__(self, spec: Json) -> None:
        self.spec = spec
        self.answers: Json = spec["paths"][EXECUTE]["post"]["responses"]["200"]["content"]

    def validator(self, schema: Json) -> Any:
        """Return a validator of a schema that may refer to others."""
        return Draft202012Validator({**schema, "components": self.spec["components"]})

    @property
    def run(self) -> Json:
        """The schema of a run as JSON."""
        return dict(self.answers["application/json"]["schema"])

    def event(self, name: object) -> Json | None:
        """Return the schema of the event with a name, or `None` when the spec does not know it."""
        schema = content_schema(self.answers["text/event-stream"]["schema"], EXECUTE)
        events = self.spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]["discriminator"]["mapping"]
        return {"$ref": events[name]} if isinstance(name, str) and name in events else None

    def faults(self, value: Any, schema: Json, name: str) -> Iterator[str]:
        """Give a line for what does not fit, and one for each field that the spec does not know."""
        if problem := best_match(self.validator(schema).iter_errors(value)):
            yield f"{name} does not fit: {problem.json_path}: {problem.message[:300]}"
        for place in sorted(set(self.unknown(value, schema))):
            yield f"{name} has a field that the spec does not know: {place}"

    def unknown(self, value: Any, schema: Json, place: str = "$") -> Iterator[str]:
        """Give the places of fields that are not in the schema; lists have `[]` there."""
        while "$ref" in schema:
            schema = self.spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]]
        for branches in (schema.get("oneOf"), schema.get("anyOf")):
            # Of several branches that fit, the one that knows most.
            fitting = [each for each in branches or () if self.validator(each).is_valid(value)]
            if fitting:
                yield from min((list(self.unknown(value, each, place)) for each in fitting), key=len)
        if isinstance(value, dict):
            known, more = schema.get("properties"), schema.get("additionalProperties")
            for name, each in value.items():
                inner = (known or {}).get(name, more)
                if isinstance(inner, dict):
                    yield from self.unknown(each, inner, f"{place}.{name}")
                elif known is not None:
                    yield f"{place}.{name}"
        elif isinstance(value, list):
            for each in value:
                yield from self.unknown(each, schema.get("items", {}), f"{place}[]")


@dataclass
class Stream:
    """A stream, taken apart by the rules of server-sent events, written here once more than in the client."""

    body: bytes

    def __post_init__(self) -> None:
        text = self.body.decode(errors="replace")
        self.line_ends = Counter(
            {"\r\n": "CRLF", "\r": "CR", "\n": "LF"}[each] for each in re.findall("\r\n|\r|\n", text)
        )
        lines = re.split("\r\n|\r|\n", text)
        self.fields = Counter(line.partition(":")[0] or "comment" for line in lines if line)
        self.frames: list[dict[str, str]] = []
        frame: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if "data" in frame:
                    self.frames.append(frame)
                frame = {}
            elif name:
                frame[name] = f"{frame[name]}\n{value}" if name == "data" and "data" in frame else value

    @property
    def events(self) -> list[tuple[str | None, Any]]:
        """The `event:` of each frame and its data; data that is not JSON is a text."""
        found: list[tuple[str | None, Any]] = []
        for each in self.frames:
            try:
                found.append((each.get("event"), json.loads(each["data"])))
            except ValueError:
                found.append((each.get("event"), each["data"]))
        return found


def faults(recorded: Recorded, spec: Json) -> list[str]:
    """Return a line for everything that does not fit the spec."""
    schemas = Schemas(spec)
    found: list[str] = []
    for name, reply, media_type in (
        ("the run", recorded.run, "application/json"),
        ("the stream", recorded.stream, "text/event-stream"),
    ):
        if reply.status != 200 or reply.content_type.partition(";")[0].lower() != media_type:
            found.append(
                f"{name}: status {reply.status}, {reply.content_type}: {reply.body[:300].decode(errors='replace')}"
            )
        elif name == "the run":
            found += schemas.faults(reply.json, schemas.run, name)
        else:
            for _, event in Stream(reply.body).events:
                if not isinstance(event, dict):
                    found += [] if event in ENDS else [f"an event is not an object: {str(event)[:100]}"]
                elif (schema := schemas.event(event.get("name"))) is None:
                    found.append(f"the spec does not know the event {event.get('name')}")
                else:
                    found += schemas.faults(event, schema, f"the event {event['name']}")
    return list(dict.fromkeys(found))


# --- The open questions -------------------------------------------------------------------------------------------


def answers(recorded: Recorded) -> Iterator[tuple[str, str]]:
    """Give the open questions that can be answered, each with its answer. A question without evidence is left out."""
    if recorded.takes_unknown is not None:
        yield "Does a config with an unknown field pass?", "yes" if recorded.takes_unknown else "no, 422"
    yield "How does an error other than 422 look?", f"{recorded.missing.status}: {_shape(recorded.missing.json)}"
    if recorded.run.status == 200 and isinstance(recorded.run.json, dict):
        yield "Is an environment needed for a config that is sent along?", "no"
        yield from _of_run(recorded.run.json)
    if recorded.stream.status == 200:
        yield from _of_stream(Stream(recorded.stream.body))


def _of_run(answer: Json) -> Iterator[tuple[str, str]]:
    run = _object(answer.get("run"))
    state = _object(run.get("state"))
    yield (
        "What is the answer of `streaming: false`?",
        f"a run with {', '.join(run)}" if run else f"an object with {', '.join(answer)}",
    )
    yield "Is there an output_block_id?", json.dumps(answer["output_block_id"]) if "output_block_id" in answer else "no"
    if run.get("stop_reason") == "workflow_run_failed":
        yield "Which status has a run that failed?", f"200, with the errors {json.dumps(run.get('errors'))[:200]}"
    entry = state.get(BLOCK)
    yield "What is a block's entry in the state?", _shape(entry)
    if isinstance(entry, dict):
        yield "Is there `meta` in the state?", _shape(entry["meta"]) if "meta" in entry else "no"
    yield (
        "Which keys of the state are the server's own?",
        ", ".join(each for each in state if each.startswith("__")) or "none",
    )


def _of_stream(stream: Stream) -> Iterator[tuple[str, str]]:
    yield "How do lines of a stream end?", _counted(stream.line_ends)
    yield "Which fields do its events have?", _counted(stream.fields)
    yield "Are there heartbeats (comments)?", "yes" if stream.fields["comment"] else "not in this one"
    data = [each for _, each in stream.events]
    yield (
        "Does [DONE] come?",
        "yes" if any(each in ENDS for each in data if isinstance(each, str)) else "no",
    )
    pairs = [(event, each) for event, each in stream.events if isinstance(each, dict)]
    events = [each for _, each in pairs]
    yield "Which names do events have?", _counted(Counter(str(each.get("name")) for each in events))
    yield (
        "Is the `event:` of the stream the name?",
        _counted(Counter("yes" if event == each.get("name") else f"no, {event}" for event, each in pairs)),
    )
    yield (
        "What is in event_type?",
        _counted(
            Counter(
                "the name" if each.get("event_type") == each.get("name") else json.dumps(each.get("event_type"))
                for each in events
            )
        ),
    )
    inner = [_object(each.get("data")) for each in events]
    yield "Which environment do events have?", _values(events, "environment")
    yield "Which version do events have?", _values(events, "version")
    yield "What is the price beside `data`?", _types(events, "price")
    yield "What is the price inside `data`?", _types(inner, "price")
    yield "What is the cost inside `data`?", _types(inner, "cost")
    updates = [_object(each.get("data")) for each in events if each.get("name") == "block_state_updated"]
    if updates:
        yield "Is update_type sent?", _values(updates, "update_type")
        yield "What is in update_data?", _counted(Counter(_shape(each.get("update_data")) for each in updates))
    for each in events:
        if each.get("name") == "workflow_run_completed":
            output = _object(each.get("data")).get("output")
            is_state = isinstance(output, dict) and BLOCK in output
            yield (
                "Is the output of a run's last event the state or the answer?",
                f"the state: {_shape(output)}" if is_state else f"not the state: {_shape(output)}",
            )


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _shape(value: Any) -> str:
    """Return the type of a value, and of an object the names and types of its fields."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_type(each)}" for name, each in value.items()) + "}"
    return _type(value)


def _type(value: Any) -> str:
    names = {str: "text", bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"}
    return names.get(type(value), "null")


def _types(values: Iterable[Json], name: str) -> str:
    return _counted(Counter(_type(each[name]) if name in each else "absent" for each in values))


def _values(values: Iterable[Json], name: str) -> str:
    return _counted(Counter(json.dumps(each[name]) if name in each else "absent" for each in values))


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counter.most_common()) or "none"


# --- The command --------------------------------------------------------------------------------------------------


def main(spec: Json, *, yes: bool, keep: Path | None = None) -> int:
    """Record, and say what was found; return the exit code.

    Args:
        spec: The OpenAPI document.
        yes: Do not ask whether it may cost money.
        keep: A folder to write the answers to.
    """
    key = os.environ.get("SCOUT_API_KEY", "").strip()
    try:
        with Scout() as scout:
            if not yes and not _asked(scout.base_url):
                print("drift: nothing was sent", file=sys.stderr)
                return 2
            recorded = record(scout.raw.get_httpx_client())
    except (ScoutError, httpx.HTTPError) as problem:
        print(f"drift: {_without(key, str(problem))}", file=sys.stderr)
        return 2
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        for name, reply in (
            ("run.json", recorded.run),
            ("stream.txt", recorded.stream),
            ("missing.json", recorded.missing),
        ):
            (keep / name).write_bytes(reply.body.replace(key.encode(), b"[key]"))
    found = faults(recorded, spec)
    for each in found:
        print(_without(key, each))
    for question, answer in answers(recorded):
        print(_without(key, f"{question} {answer}"))
    print(f"drift: one run and one stream compared with the spec, {len(found)} faults")
    return 1 if found else 0


def _asked(url: str) -> bool:
    """Ask whether to go on; without a terminal the answer is no."""
    message = f"This runs a small workflow with a language model twice at {url}, which may cost money."
    if not sys.stdin.isatty():
        print(f"{message} With --yes it does so without asking.", file=sys.stderr)
        return False
    return input(f"{message} Go on? [y/N] ").strip().lower() in ("y", "yes")


def _without(key: str, text: str) -> str:
    return text.replace(key, "[key]") if key else text

"""Workflow files from the wild load, and run on the local Scout through the facade.

They are not part of this repository: without the folder beside it these tests are skipped.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scout import AsyncScout, RunFailedError, RunStatus, Scout
from scout.workflow_files import load_workflow

FOLDER = Path(__file__).parent.parent.parent / "shared" / "real-configs"
FILES = sorted(path.name for path in FOLDER.glob("*.*")) or ["(none)"]

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the folder shared/real-configs is not beside this repository"
)

SERP = "com.scoutos.serp"
INPUTS = {
    "basic_llm_workflow.yml": {"user_message": "Why is the sky blue?"},
    "foodie.yml": {"user_message": "Lisbon"},
    "get_workflow_response.json": {"user_message": "Hello"},
    "perplexity_clone.yml": {"user_message": "Who invented the bicycle?"},
    "sentiment_analyzer.yml": {"text": "What a lovely day"},
    "seo_keyword_translator.yml": {"keywords": "bread, butter", "country": "Portugal"},
}
NEEDS_A_HANDLER = {"perplexity_clone.yml": "scrape_serp_h2mnhi"}
OTHERS = sorted(set(FILES) - set(NEEDS_A_HANDLER))


@pytest.fixture(scope="module")
def client() -> Iterator[Scout]:
    with Scout.local() as client:
        yield client


@pytest.fixture(scope="module")
def client_with_handler() -> Iterator[Scout]:
    with Scout.local(
        blocks={SERP: lambda inputs, context: f"found {inputs['query']} on [1](https://a.example)"}
    ) as client:
        yield client


def block_ids(name: str) -> set[str]:
    return {block["block_id"] for block in load_workflow(FOLDER / name).config["blocks"]}


def test_every_file_has_its_inputs() -> None:
    assert set(FILES) == set(INPUTS)


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_loads(name: str) -> None:
    loaded = load_workflow(FOLDER / name)

    assert loaded.config["blocks"]
    assert "workflow_config" not in loaded.config
    assert isinstance(loaded.key, str) is name.endswith(".yml")


def test_a_stored_workflow_is_taken_out_of_its_answer() -> None:
    path = FOLDER / "get_workflow_response.json"

    assert load_workflow(path).config == json.loads(path.read_text(encoding="utf-8"))["data"]["workflow_config"]


@pytest.mark.parametrize("name", OTHERS)
def test_a_real_file_runs(client: Scout, name: str) -> None:
    run = client.execute(FOLDER / name, INPUTS[name])

    assert run.status is RunStatus.COMPLETED
    assert run.errors == []
    assert block_ids(name) <= run.outputs.keys()


@pytest.mark.parametrize("name", OTHERS)
def test_the_inputs_arrive_in_the_answer(client: Scout, name: str) -> None:
    run = client.execute(FOLDER / name, INPUTS[name])
    told = json.dumps(run.state, ensure_ascii=False)

    for value in INPUTS[name].values():
        assert value in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("basic_llm_workflow.yml", "Why is the sky blue?"),
        ("foodie.yml", "Where can I get food in Lisbon"),
        ("seo_keyword_translator.yml", "bread, butter"),
    ],
)
def test_a_file_with_one_leaf_has_an_answer(client: Scout, name: str, words: str) -> None:
    assert words in client.execute(FOLDER / name, INPUTS[name]).text


def test_a_file_with_two_leaves_has_two_outputs_and_no_answer(client: Scout) -> None:
    run = client.execute(FOLDER / "sentiment_analyzer.yml", INPUTS["sentiment_analyzer.yml"])

    assert run.output is None
    assert "What a lovely day" in run.outputs["classify"]
    assert "- Neutral" in run.outputs["classify"]
    assert run.outputs["classify_json"]


def test_the_same_inputs_give_the_same_answer(client: Scout) -> None:
    name = "seo_keyword_translator.yml"

    first, second = (client.execute(FOLDER / name, INPUTS[name]) for _ in range(2))

    assert first.id != second.id
    assert first.outputs == second.outputs


def test_defaults_of_the_file_stand_in_for_inputs(client: Scout) -> None:
    run = client.execute(FOLDER / "sentiment_analyzer.yml")

    assert "best products" in run.outputs["inputs"]["text"]


def test_a_missing_input_is_named(client: Scout) -> None:
    with pytest.raises(RunFailedError, match="user_message"):
        client.execute(FOLDER / "foodie.yml")


@pytest.mark.parametrize("name", sorted(NEEDS_A_HANDLER))
def test_a_block_without_a_handler_is_named(client: Scout, name: str) -> None:
    with pytest.raises(RunFailedError) as caught:
        client.execute(FOLDER / name, INPUTS[name])

    assert NEEDS_A_HANDLER[name] in str(caught.value)
    assert SERP in str(caught.value)
    assert "blocks=" in str(caught.value)
    assert caught.value.run.status is RunStatus.FAILED


@pytest.mark.parametrize("name", FILES)
def test_every_file_runs_with_a_handler(client_with_handler: Scout, name: str) -> None:
    run = client_with_handler.execute(FOLDER / name, INPUTS[name])

    assert run.ok
    assert block_ids(name) <= run.outputs.keys()


def test_a_handler_gets_its_inputs_rendered(client_with_handler: Scout) -> None:
    run = client_with_handler.execute(FOLDER / "perplexity_clone.yml", INPUTS["perplexity_clone.yml"])

    assert run.outputs["scrape_serp_h2mnhi"] == "found Who invented the bicycle? on [1](https://a.example)"
    assert run.output_block_id == "llm_6pv2fq"
    assert "Who invented the bicycle?" in run.text


async def test_a_real_file_runs_from_asyncio() -> None:
    calls: list[Any] = []

    async def search(inputs: dict[str, Any], context: Any) -> str:
        calls.append(inputs["query"])
        return "found"

    async with AsyncScout.local(blocks={SERP: search}) as client:
        run = await client.execute(FOLDER / "perplexity_clone.yml", INPUTS["perplexity_clone.yml"])

    assert run.ok
    assert run.outputs["scrape_serp_h2mnhi"] == "found"
    assert calls == ["Who invented the bicycle?"]

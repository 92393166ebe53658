"""Stored workflows from end to end: files, the facade, real HTTP and the local Scout."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scout import AsyncScout, Deployment, NotFoundError, Scout, save_workflow
from scout.local import LocalScout
from scout.workflow_files import load_workflow

ROOT = Path(__file__).parent.parent
REAL = ROOT.parent / "shared" / "real-configs"
EXAMPLES = sorted((ROOT / "examples").glob("*/workflow.yml"))
REAL_FILES = sorted(path for path in REAL.glob("*.*") if path.suffix in {".yml", ".yaml", ".json"})
STRANGE = {
    "z": None,
    "a": {
        "fraction": 1.10,
        "small": 1e-7,
        "negative": -0.0,
        "whole": 3.0,
        "big": 2**70,
        "no": "no",
        "time": "12:30:00",
    },
    "blocks": [],
    "text": "\u2028 é\t\x00 'quotes' \"and\" #: - {}[]\n\n  two\nlines  \n",
    "": "",
    "list": [[], {}, [None], True, "true", "1", 1],
    "tags": None,
}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalScout]:
    with LocalScout() as server:
        yield server


@pytest.fixture
def client(server: LocalScout) -> Iterator[Scout]:
    server.reset()
    with Scout("any", base_url=server.url) as client:
        yield client


def spelled(config: Any) -> str:
    """Tells apart whatever JSON tells apart, and the order of keys too."""
    return json.dumps(config)


def go_round(client: Scout, source: Any, folder: Path, suffix: str) -> None:
    """load -> deploy -> get -> pull -> load, and deploy again."""
    before = load_workflow(source)
    deployed = client.workflows.deploy(source, key=before.key or "key")
    fetched = client.workflows.get(deployed.workflow_id)
    path = folder / f"pulled{suffix}"
    save_workflow(fetched, path)
    after = load_workflow(path)

    assert spelled(after.config) == spelled(before.config)
    assert after.key == (before.key or "key")
    again = client.workflows.deploy(path)
    assert (again.changed, again.created, again.revision_id) == (False, False, deployed.revision_id)
    assert again.workflow_id == deployed.workflow_id


@pytest.mark.parametrize("suffix", [".yml", ".json"])
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_goes_round(path: Path, suffix: str, client: Scout, tmp_path: Path) -> None:
    go_round(client, path, tmp_path, suffix)


@pytest.mark.skipif(not REAL.is_dir(), reason="the folder shared/real-configs is not beside this repository")
@pytest.mark.parametrize("suffix", [".yml", ".json"])
@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: path.name)
def test_a_real_file_goes_round(path: Path, suffix: str, client: Scout, tmp_path: Path) -> None:
    go_round(client, path, tmp_path, suffix)


@pytest.mark.parametrize("suffix", [".yml", ".json"])
def test_what_is_strange_goes_round(suffix: str, client: Scout, tmp_path: Path) -> None:
    go_round(client, STRANGE, tmp_path, suffix)


def test_twenty_deployments_at_once_make_one_workflow(client: Scout, server: LocalScout) -> None:
    start = threading.Barrier(20)
    done: list[Deployment] = []
    errors: list[Exception] = []

    def deploy(number: int) -> None:
        try:
            start.wait(20)
            done.append(client.workflows.deploy({"tags": [str(number)]}, key="raced"))
        except Exception as error:  # noqa: BLE001 - the test judges it
            errors.append(error)

    threads = [threading.Thread(target=deploy, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert errors == []
    assert Counter(each.created for each in done) == {True: 1, False: 19}
    assert all(each.changed for each in done)
    assert len({each.workflow_id for each in done}) == 1
    assert len({each.revision_id for each in done}) == 20
    (stored,) = client.workflows.list()
    assert stored.revision_id in {each.revision_id for each in done}


def test_twenty_deployments_of_the_same_make_one_revision_or_say_what_they_made(client: Scout) -> None:
    start = threading.Barrier(20)
    done: list[Deployment] = []

    def deploy() -> None:
        start.wait(20)
        done.append(client.workflows.deploy({"tags": ["same"]}, key="raced"))

    threads = [threading.Thread(target=deploy) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert Counter((each.created, each.changed) for each in done) == {(True, True): 1, (False, False): 19}
    assert len({each.revision_id for each in done}) == 1


def test_a_stored_workflow_runs_and_streams(client: Scout) -> None:
    deployed = client.workflows.deploy(ROOT / "examples/hello/workflow.yml")
    run = client.workflows.execute(deployed.workflow_id, {"user_message": "Hi"})
    with client.workflows.stream(deployed.workflow_id, {"user_message": "Hi"}) as stream:
        text = "".join(stream.text())

    assert run.ok
    assert "Hi" in run.text
    assert text == run.text == stream.run.text
    assert run.workflow_id == stream.run.workflow_id == deployed.workflow_id
    assert client.execute(client.workflows.get(deployed.workflow_id), {"user_message": "Hi"}).text == run.text


def says(text: str) -> dict[str, Any]:
    block = {"block_id": "a", "block_archetype_id": "com.scoutos.text", "block_display_name": "A"}
    return {"blocks": [{**block, "block_inputs": {"text": text}}]}


def test_drafts_and_revisions_run_where_they_are(client: Scout) -> None:
    first = client.workflows.create(says("one"))
    client.workflows.create_revision(says("two"), id=first.id)
    client.workflows.update(first.id, says("draft"))

    assert client.workflows.execute(first.id).text == "two"
    assert client.workflows.execute(first.id, environment="staging").text == "two"
    assert client.workflows.execute(first.id, environment="console").text == "draft"
    assert client.workflows.execute(first.id, revision_id=first.revision_id).text == "one"


def test_what_is_deleted_is_gone(client: Scout) -> None:
    stored = client.workflows.create({})
    assert client.workflows.delete(stored.id) == "Workflow deleted"
    for call in (client.workflows.get, client.workflows.delete, client.workflows.execute):
        with pytest.raises(NotFoundError, match=stored.id):
            call(stored.id)


def test_lists_of_the_local_scout(client: Scout) -> None:
    for number in range(25):
        client.workflows.create({"tags": ["even"] if number % 2 == 0 else []}, key=f"k{number}")

    assert [each.key for each in client.workflows.list(limit=4)] == [f"k{number}" for number in range(25)]
    assert len(list(client.workflows.list(tags="even", limit=4))) == 13
    assert [len(page.workflows) for page in client.workflows.list(limit=10, direction="desc").pages()] == [10, 10, 5]
    third = list(client.workflows.list(limit=10).pages())[1]
    assert isinstance(third.next_cursor, str)
    assert next(client.workflows.list(start_at=third.next_cursor)).key == "k20"


def test_all_of_it_from_asyncio(server: LocalScout) -> None:
    server.reset()

    async def main() -> None:
        async with AsyncScout("any", base_url=server.url) as client:
            path = ROOT / "examples/hello/workflow.yml"
            done = await asyncio.gather(*(client.workflows.deploy(path, force=True) for _ in range(20)))
            assert Counter(each.created for each in done) == {True: 1, False: 19}
            (stored,) = [each async for each in client.workflows.list()]
            run = await client.workflows.execute(stored.id, {"user_message": "Hi"})
            async with client.workflows.stream(stored.id, {"user_message": "Hi"}) as stream:
                assert "".join([piece async for piece in stream.text()]) == run.text
            await client.workflows.update(stored.id, path)
            assert (await client.workflows.get(stored.id)).is_draft is True
            assert await client.workflows.delete(stored.id)
            assert [each async for each in client.workflows.list()] == []

    asyncio.run(main())


def live(client: Scout, workflow: str = "key:story") -> dict[str, str]:
    """What a run says in each environment."""
    names = ("development", "staging", "production")
    return {name: client.workflows.execute(workflow, environment=name).text for name in names}


def test_staging_then_production(client: Scout) -> None:
    workflows = client.workflows
    first = workflows.deploy(says("one"), key="story", environment="staging")
    assert (first.created, first.environment, first.pinned) == (True, "staging", ())
    assert live(client) == {"development": "one", "staging": "one", "production": "one"}

    second = workflows.deploy(says("two"), key="story", environment="staging")
    assert (second.changed, second.pinned) == (True, ("development", "production"))
    assert live(client) == {"development": "one", "staging": "two", "production": "one"}

    done = workflows.deploy(says("two"), key="story", environment="production")
    assert (done.changed, done.pinned, done.revision_id) == (True, (), second.revision_id)
    assert live(client) == {"development": "one", "staging": "two", "production": "two"}
    assert workflows.deploy(says("two"), key="story", environment="production").changed is False

    workflows.set_environment("key:story", "development", latest=True)
    assert live(client)["development"] == "two"
    workflows.set_environment("key:story", "production", revision_id=first.revision_id)
    assert live(client) == {"development": "two", "staging": "two", "production": "one"}
    assert [each.revision_id for each in workflows.environments("key:story")] == [
        None,
        second.revision_id,
        first.revision_id,
    ]


def test_a_draft_beside_one_revision_is_not_what_the_others_are_set_to(client: Scout) -> None:
    client.workflows.deploy(says("one"), key="story")
    client.workflows.update("key:story", says("draft"))
    done = client.workflows.deploy(says("two"), key="story", environment="staging")
    assert done.pinned == ("development", "production")
    assert live(client) == {"development": "one", "staging": "two", "production": "one"}


def test_revisions_are_listed_named_promoted_and_deleted(client: Scout) -> None:
    workflows = client.workflows
    ids = [workflows.deploy(says(text), key="story").revision_id for text in ("one", "two", "three")]
    assert sorted(each.revision_id for each in workflows.revisions("key:story")) == sorted(ids)
    assert {each.config["blocks"][0]["block_inputs"]["text"] for each in workflows.revisions("key:story")} == {
        "one",
        "two",
        "three",
    }
    renamed = workflows.rename_revision("key:story", ids[0], "First", description="The first one")
    assert renamed is not None
    assert renamed.revision_id == ids[0]
    promoted = workflows.promote("key:story", ids[0])
    assert promoted is not None
    assert promoted.revision_id == ids[0]
    assert workflows.delete_revision("key:story", ids[1])
    assert sorted(each.revision_id for each in workflows.revisions("key:story")) == sorted([ids[0], ids[2]])
    with pytest.raises(NotFoundError):
        workflows.promote("key:story", ids[1])
    with pytest.raises(NotFoundError):
        workflows.revisions("wf_nobody")


async def story() -> dict[str, Any]:
    async with AsyncScout.local() as client:
        workflows = client.workflows
        first = await workflows.deploy(says("one"), key="story")
        second = await workflows.deploy(says("two"), key="story", environment="staging")
        await workflows.rename_revision("key:story", first.revision_id, "First")
        await workflows.set_environment("key:story", "development", latest=True)
        await workflows.promote("key:story", second.revision_id)
        found = {each.name: each.follows_latest for each in await workflows.environments("key:story")}
        assert len(await workflows.revisions("key:story")) == 2
        await workflows.delete_revision("key:story", first.revision_id)
        assert len(await workflows.revisions("key:story")) == 1
        return {"pinned": second.pinned, **found}


def test_the_same_from_asyncio() -> None:
    assert asyncio.run(story()) == {
        "pinned": ("development", "production"),
        "development": True,
        "staging": False,
        "production": False,
    }

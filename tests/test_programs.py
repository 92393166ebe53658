"""The package inside programs of other forms: without assertions, packed into one file, frozen."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipapp
from collections.abc import Iterator
from pathlib import Path

import pytest
import scout_generated
from packaging.requirements import Requirement

import scout
from scout import ConfigurationError, Scout
from scout.local import LocalScout

PROGRAM = """
import asyncio, sys
from scout import AsyncScout, Scout, ScoutError

address, file = sys.argv[1:]

async def ask() -> str:
    async with AsyncScout("key", base_url=address) as client:
        return (await client.execute(file, {"name": "async"})).text

with Scout("key", base_url=address) as client:
    print(client.execute(file, {"name": "sync"}).text)
    with client.stream(file, {"name": "stream"}) as stream:
        print("".join(stream.text()))
    stored = client.workflows.create(file)
    print([each.id == stored.id for each in client.workflows.list()], type(client.raw).__name__)
    try:
        client.workflows.get("missing")
    except ScoutError as error:
        print(type(error).__name__)
    print(asyncio.run(ask()))
"""

PRINTED = "Hi sync\nHi stream\n[True] AuthenticatedClient\nNotFoundError\nHi async\n"

WORKFLOW = """\
blocks:
  - block_id: a
    block_display_name: A
    block_archetype_id: com.scoutos.text
    block_inputs: {text: "Hi {{ inputs.name }}"}
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    path = tmp_path / "workflow.yml"
    path.write_text(WORKFLOW)
    return path


@pytest.fixture
def address() -> Iterator[str]:
    with LocalScout() as local:
        yield local.url


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.packaging
def test_a_program_without_assertions_and_docstrings(address: str, workflow: Path) -> None:
    assert run("-OO", "-c", PROGRAM, address, str(workflow)) == PRINTED


@pytest.mark.packaging
def test_a_program_that_is_one_zip_file(address: str, workflow: Path, tmp_path: Path) -> None:
    program, packed = tmp_path / "program", tmp_path / "program.pyz"
    for package in (scout, scout_generated):
        folder = Path(package.__path__[0])
        shutil.copytree(folder, program / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in needed_by("scout-workflows"):
        for file in importlib.metadata.files(name) or ():
            if file.suffix in {".py", ".pem"} and ".." not in file.parts:
                target = program / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), target)
    (program / "__main__.py").write_text(PROGRAM)
    zipapp.create_archive(program, packed)

    assert run("-I", "-S", str(packed), address, str(workflow)) == PRINTED


def needed_by(name: str) -> set[str]:
    """Return the names of the distributions that one needs, directly or not, without its extras."""
    needed = map(Requirement, importlib.metadata.requires(name) or ())
    names = {each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})}
    return names.union(*map(needed_by, names))


def test_a_frozen_program_cannot_have_a_local_scout(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no Python interpreter: `sys.executable` is the program, which would start itself again and again."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)

    with pytest.raises(ConfigurationError, match=r"frozen program.*base_url"):
        Scout.local()

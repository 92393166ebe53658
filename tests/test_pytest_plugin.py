"""The fixture `scout_local`, used as an application's tests use it: by a pytest of its own, in a folder of its own."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

APP = """
from scout import Scout

BLOCK = {"block_id": "a", "block_archetype_id": "com.scoutos.llm", "block_display_name": "A", "is_output": True}
PROMPTS = {"model": "gpt-4o", "prompt_items": [{"role": "user", "content": "{{ inputs.question }}"}]}
CONFIG = {"blocks": [{**BLOCK, "block_inputs": PROMPTS}]}


def ask(question):
    with Scout() as scout:
        return scout.execute(CONFIG, {"question": question}).text
"""


def pytest_in(folder: Path, test: str, *args: str, conftest: str = "") -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    (folder / "test_app.py").write_text(test)
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    for plugin in ("asyncio", "xdist", "timeout", "anyio", "hypothesispytest"):  # each costs its import
        command += ["-p", f"no:{plugin}"]
    return subprocess.run([*command, *args], cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.packaging  # the entry point
def test_it_is_found_by_pytest() -> None:
    (entry,) = entry_points(group="pytest11", name="scout-local")
    assert entry.value == "scout_generated.pytest_plugin"


@pytest.mark.packaging  # the plugin is loaded
def test_the_server_is_one_and_each_test_finds_it_as_new(tmp_path: Path) -> None:
    test = """
import os
import pytest
from app import CONFIG, ask
from scout import InternalServerError, Scout

urls = set()

@pytest.mark.parametrize("number", range(3))
def test_it_is_as_new(scout_local, number):
    urls.add(scout_local.url)
    assert len(urls) == 1
    assert (scout_local.requests, scout_local.runs, scout_local.workflow_ids) == ([], [], {})
    assert ask("Hi") == "[gpt-4o stand-in] Hi"
    scout_local.stub("com.scoutos.llm", f"stubbed {number}")
    assert ask("Hi") == f"stubbed {number}"
    scout_local.stub("a", ["one", "two"])
    assert [ask("Hi") for _ in range(3)] == ["one", "two", "two"]
    with Scout() as scout:
        scout.workflows.deploy(CONFIG, key="mine")
    scout_local.fail_next(500, times=5)
    with pytest.raises(InternalServerError):
        ask("Hi")
    assert [run.output for run in scout_local.runs][-1] == "two"
    assert len(scout_local.requests) == 7

def test_the_variables_are_put_back():
    assert os.environ.get("SCOUT_BASE_URL") == "http://mine.example"
"""
    conftest = 'import os\nos.environ["SCOUT_BASE_URL"] = "http://mine.example"\n'
    done = pytest_in(tmp_path, test, conftest=conftest)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_options_are_given_in_a_conftest(tmp_path: Path) -> None:
    conftest = """
import pytest

@pytest.fixture(scope="session")
def scout_local_options():
    return {"api_key": "secret_of_tests", "stubs": {"com.scoutos.llm": "from the options"}, "workflows": {"mine": {}}}
"""
    test = """
from app import ask

def test_options(scout_local):
    assert ask("Hi") == "from the options"
    assert list(scout_local.workflow_ids) == ["mine"]
"""
    done = pytest_in(tmp_path, test, conftest=conftest)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_async_applications_threads_and_the_environment_of_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCOUT_ENVIRONMENT", "console")
    test = """
import asyncio
from concurrent.futures import ThreadPoolExecutor
from app import CONFIG, ask
from scout import AsyncScout

def test_threads(scout_local):
    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, map(str, range(20)))) == sorted(f"[gpt-4o stand-in] {n}" for n in range(20))
    assert len(scout_local.runs) == 20

def test_asyncio(scout_local):
    async def main():
        async with AsyncScout() as scout:
            runs = await asyncio.gather(*(scout.execute(CONFIG, {"question": str(n)}) for n in range(20)))
            assert [run.text for run in runs] == [f"[gpt-4o stand-in] {n}" for n in range(20)]
    asyncio.run(main())

def test_the_environment_does_not_matter(scout_local):
    ask("Hi")
    assert scout_local.runs[-1].environment == "production"
"""
    done = pytest_in(tmp_path, test)
    assert "3 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.packaging  # lazy imports of the plugin
def test_who_does_not_ask_pays_nothing(tmp_path: Path) -> None:
    test = """
import sys

def test_nothing_is_loaded():
    heavy = {"httpx", "starlette", "uvicorn", "jinja2", "jsonschema", "attr", "scout.client", "scout.local.server"}
    assert heavy & set(sys.modules) == set()
"""
    (tmp_path / "conftest.py").write_text("")
    done = pytest_in(tmp_path, test, "-p", "no:schemathesis")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_one_that_a_test_has_closed_says_so_to_the_next(tmp_path: Path) -> None:
    test = """
def test_closes_it(scout_local):
    scout_local.close()

def test_next(scout_local):
    pass
"""
    done = pytest_in(tmp_path, test)
    assert "1 passed, 1 error" in done.stdout
    assert "This local Scout was closed" in done.stdout


def test_options_that_were_not_returned(tmp_path: Path) -> None:
    conftest = """
import pytest

@pytest.fixture(scope="session")
def scout_local_options():
    {"port": 0}
"""
    done = pytest_in(tmp_path, "def test_a(scout_local):\n    pass\n", conftest=conftest)
    assert "scout_local_options must return a mapping" in done.stdout


def test_it_is_listed_with_its_words(tmp_path: Path) -> None:
    done = pytest_in(tmp_path, "", "--fixtures")
    assert "scout_local --" in done.stdout
    assert "A local Scout, reset for each test" in done.stdout


@pytest.mark.parametrize("option", ["port", "nonsense"])
def test_a_wrong_option_is_an_error_of_the_fixture(tmp_path: Path, option: str) -> None:
    conftest = f"""
import pytest

@pytest.fixture(scope="session")
def scout_local_options():
    return {{"{option}": -1}}
"""
    done = pytest_in(tmp_path, "def test_a(scout_local):\n    pass\n", conftest=conftest)
    assert done.returncode == 1
    assert option in done.stdout


@pytest.mark.packaging  # the entry point
@pytest.mark.parametrize(
    ("files", "module"),
    [
        ({"scout/__init__.py": "", "scout/mine.py": "x = 1"}, "scout.mine"),
        ({"scout.py": "x = 1"}, "scout"),
        ({"scout/__init__.py": "import os\nx = 1", "local/__init__.py": "raise RuntimeError"}, "scout"),
    ],
)
def test_a_project_with_a_scout_of_its_own_is_left_alone(tmp_path: Path, files: dict[str, str], module: str) -> None:
    broken = {f"{name}.py": "raise RuntimeError('not yours')" for name in ("httpx", "starlette", "jinja2", "attr")}
    for name, text in {**files, **broken}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    test = f"""
def test_mine():
    import {module} as mine
    assert mine.x == 1

def test_ours(scout_local):
    pass
"""
    (tmp_path / "app.py").write_text("")
    done = pytest_in(tmp_path, test)
    assert "1 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "the fixture scout_local needs the package scout of scout-workflows" in done.stdout


def test_scout_may_be_imported_before_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_a(): pass")
    program = "import sys, scout, scout_generated, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    options = ["-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:hypothesispytest"]
    done = subprocess.run([sys.executable, "-c", program, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_clients_made_at_import_reach_the_local_scout(tmp_path: Path) -> None:
    test = """
import asyncio
import os
import socket

import httpx
import pytest
from app import CONFIG

usual = socket.create_server(("127.0.0.1", 0))  # the API as the environment names it; it gets nothing
usual.settimeout(0.05)
USUAL = f"http://127.0.0.1:{usual.getsockname()[1]}"
os.environ.update(SCOUT_BASE_URL=USUAL, SCOUT_API_KEY="a-real-key")

from scout import AsyncScout, ConfigurationError, Scout
from scout.local import record

early = Scout()
early_async = AsyncScout()
early_raw = early.raw
paid = Scout(base_url="https://api.scoutos.com")
early_http = Scout(transport=httpx.HTTPTransport())
early_async_http = AsyncScout(transport=httpx.AsyncHTTPTransport())
elsewhere = Scout(base_url="https://scout.example")
elsewhere_async = AsyncScout(base_url="https://scout.example")
elsewhere_http = Scout(base_url="https://scout.example", transport=httpx.HTTPTransport())
mock = Scout(base_url="https://scout.example", transport=httpx.MockTransport(lambda request: httpx.Response(418)))
recorded = Scout(transport=record("run.jsonl"))


class Watched(httpx.BaseTransport):
    inner = httpx.HTTPTransport()

    def handle_request(self, request):
        return self.inner.handle_request(request)


class AsyncWatched(httpx.AsyncBaseTransport):
    def __init__(self):
        self.inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request):
        return await self.inner.handle_async_request(request)


watched = Scout(transport=Watched())
watched_async = AsyncScout(transport=AsyncWatched())


@pytest.mark.parametrize("client", [early, early.with_options(timeout=5), paid, early_http, recorded, watched])
def test_sync(scout_local, client):
    assert client.execute(CONFIG, {"question": "Hi"}).text == "[gpt-4o stand-in] Hi"
    with client.stream(CONFIG, {"question": "Hi"}) as stream:
        assert "".join(stream.text()) == "[gpt-4o stand-in] Hi"
    assert len(scout_local.runs) == 2


@pytest.mark.parametrize("client", [early_async, early_async_http, watched_async])
def test_async(scout_local, client):
    async def main():
        run = await client.execute(CONFIG, {"question": "Hi"})
        async with await client.stream(CONFIG, {"question": "Hi"}) as stream:
            await stream.until_done()
        return run
    assert asyncio.run(main()).text == "[gpt-4o stand-in] Hi"
    assert len(scout_local.runs) == 2


def test_raw(scout_local):
    assert early_raw.get_httpx_client().get("/v2/workflows").json()["data"] == []
    assert len(scout_local.requests) == 1


def test_another_server_is_an_error(scout_local):
    for client in (elsewhere, elsewhere_http, elsewhere.with_options(timeout=5)):
        with pytest.raises(ConfigurationError, match="uses scout_local, so nothing was sent to https://scout.example"):
            client.execute(CONFIG, {"question": "Hi"})
    with pytest.raises(ConfigurationError, match="scout_local"):
        asyncio.run(elsewhere_async.execute(CONFIG, {"question": "Hi"}))


def test_what_bills_nobody_is_left_alone(scout_local):
    with pytest.raises(Exception, match="418"):
        mock.execute(CONFIG, {"question": "Hi"})
    with Scout.local(stubs={"a": "another"}) as other:
        assert other.execute(CONFIG, {"question": "Hi"}).text == "another"
    assert scout_local.requests == []


def test_nothing_came_to_the_usual_server():
    with pytest.raises(TimeoutError):
        usual.accept()
    early.close()
"""
    done = pytest_in(tmp_path, test, "-W", "default")
    assert "13 passed" in done.stdout, done.stdout + done.stderr


def test_a_stub_that_no_block_used_is_reported(tmp_path: Path) -> None:
    conftest = """
import pytest

@pytest.fixture(scope="session")
def scout_local_options():
    return {"stubs": {"for_other_tests": 1}}
"""
    test = """
import pytest
from app import ask

@pytest.mark.filterwarnings("default")
def test_typo(scout_local):
    scout_local.stub("a", "used")
    scout_local.stub("anwser", "not used")
    assert ask("Hi") == "used"

def test_typo_where_warnings_are_errors(scout_local):
    scout_local.stub("a", "used")
    scout_local.stub("aswner", "not used")
    assert ask("Hi") == "used"

def test_all_used(scout_local):
    scout_local.stub("com.scoutos.llm", ["one", "two"])
    assert ask("Hi") == "one"
"""
    done = pytest_in(tmp_path, test, conftest=conftest)
    assert "3 passed, 1 warning, 1 error" in done.stdout, done.stdout
    warned, failed = (f"no block has used what this test stubbed: {typo}." for typo in ("anwser", "aswner"))
    assert warned in done.stdout
    assert f"UserWarning: {failed}" in done.stdout

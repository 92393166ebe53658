"""`scout local` while it runs, and the page of `--open`: files that change, the browser, Ctrl-C."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from commands import PATIENCE, Done, command, run_here

from scout import Scout
from scout.cli._browser import OpenedPage
from scout.cli._reloads import Reloads
from scout.local import LocalScout

ROOT = Path(__file__).parent.parent
HELLO = ROOT / "examples/hello/workflow.yml"
INPUT = ("--input", "user_message=Hi")


def workflow(text: str, key: str | None = None) -> str:
    """A workflow file, which says a text."""
    block = {
        "block_id": "said",
        "block_display_name": "Said",
        "block_archetype_id": "com.scoutos.text",
        "block_inputs": {"text": text},
    }
    wrapped = {"workflow_key": key, "workflow_config": {"blocks": [block]}} if key else {"blocks": [block]}
    return json.dumps(wrapped, indent=2)  # JSON is YAML


class Watching:
    """A folder with workflows, and a server that reloads them; what it says is collected."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], stubs: Path | None = None) -> None:
        self._capsys = capsys
        self.reloads = Reloads(folder, folder / "stubs.yml" if stubs is None else stubs)
        self.server = LocalScout(workflows=self.reloads.workflows)

    def look(self, times: int = 2) -> list[str]:
        """The lines that it says when it looks. Two looks are enough, and one is not."""
        for _ in range(times):
            self.reloads.look(self.server)
        return [line.removeprefix("scout: ") for line in self._capsys.readouterr().err.splitlines()]

    def says(self, key: str) -> str:
        """The output of a workflow."""
        with Scout("any", base_url=self.server.url) as client:
            return client.workflows.execute(f"key:{key}").text


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = Path("flows")
    (made / "hello").mkdir(parents=True)
    (made / "hello/workflow.yml").write_text(workflow("first"))
    (made / "search.yml").write_text(workflow("found", "lookup"))
    return made


@pytest.fixture
def watching(folder: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Watching]:
    made = Watching(folder, capsys)
    with made.server:
        yield made


def revision_in(line: str) -> str:
    match = re.search(r"revision (rev_\w+)$", line)
    assert match, line
    return match[1]


class TestReloads:
    def test_a_file_with_other_content_becomes_a_revision(self, watching: Watching, folder: Path) -> None:
        ids = watching.server.workflow_ids
        assert watching.look() == []
        (folder / "hello/workflow.yml").write_text(workflow("second"))
        (line,) = watching.look()
        assert re.fullmatch(r"reloaded hello from flows/hello/workflow.yml: revision rev_\w+", line)
        assert watching.says("hello") == "second"
        assert watching.server.workflow_ids == ids
        assert watching.look() == []
        with Scout("any", base_url=watching.server.url) as client:
            assert client.workflows.get("key:hello").revision_id == revision_in(line)

    def test_the_same_content_with_a_new_time_says_nothing(self, watching: Watching, folder: Path) -> None:
        for path in (folder / "hello/workflow.yml", folder / "search.yml"):
            os.utime(path, (1, 1))
        (folder / "search.yml").chmod(0o600)
        assert watching.look() == []

    def test_a_file_that_is_being_written_is_left_alone(self, watching: Watching, folder: Path) -> None:
        whole = workflow("second")
        for end in (20, 100, 120):
            (folder / "hello/workflow.yml").write_text(whole[:end])
            assert watching.look(1) == []
        (folder / "hello/workflow.yml").unlink()
        assert watching.look(1) == []
        (folder / "hello/workflow.yml").write_text(whole)
        assert watching.look(1) == []
        (line,) = watching.look(1)
        assert line.startswith("reloaded hello")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("blocks: [", "not reloaded: flows/hello/workflow.yml, line 1, column 10: is not YAML: "),
            ("tags: 5\n", "not reloaded: flows/hello/workflow.yml:1:7: SW011 `tags` must be a list"),
            ("blocks:\n- block_id: a\n", "not reloaded: flows/hello/workflow.yml, line 2, column 3: "),
            ("name: x\n", "not reloaded: flows/hello/workflow.yml, line 1, column 1: "),
            ("\0", "not reloaded: flows/hello/workflow.yml, line 1, column 1: "),
        ],
        ids=["not YAML", "not to the schema", "half a block", "another file", "not text"],
    )
    def test_a_mistake_is_named_once_for_each_change_and_the_old_one_stays(
        self, text: str, said: str, watching: Watching, folder: Path
    ) -> None:
        path = folder / "hello/workflow.yml"
        path.write_text(text)
        (line,) = watching.look()
        assert line.startswith(said)
        os.utime(path, (1, 1))
        assert watching.look() == []
        path.write_text(f"{text}\n# no better")
        (line,) = watching.look()
        assert line.startswith("not reloaded: ")
        assert watching.says("hello") == "first"
        path.write_text(workflow("first"))
        (line,) = watching.look()
        assert line.startswith("reloaded hello from ")

    def test_new_files_are_stored(self, watching: Watching, folder: Path) -> None:
        (folder / "new").mkdir()
        (folder / "new/workflow.json").write_text(workflow("new"))
        (folder / "top.yaml").write_text(workflow("top"))
        (folder / ".lock.yml").write_text("not a workflow")
        (folder / "notes.txt").write_text("no workflow")
        lines = watching.look()
        ids = watching.server.workflow_ids
        assert [line.rpartition(" rev_")[0] for line in lines] == [
            f"stored new from flows/new/workflow.json: {ids['new']}, revision",
            f"stored top from flows/top.yaml: {ids['top']}, revision",
        ]
        assert watching.says("new") == "new"

    def test_a_workflow_outlives_its_file(self, watching: Watching, folder: Path) -> None:
        path = folder / "hello/workflow.yml"
        path.unlink()
        assert watching.look() == ["flows/hello/workflow.yml is gone; hello stays stored"]
        assert watching.says("hello") == "first"
        path.write_text(workflow("again"))
        (line,) = watching.look()
        assert line.startswith("reloaded hello")

    def test_a_mistake_is_not_the_last_word_on_a_file(self, watching: Watching, folder: Path) -> None:
        (folder / "search.yml").write_text("blocks: [")
        watching.look()
        (folder / "search.yml").unlink()
        assert watching.look() == ["flows/search.yml is gone; lookup stays stored"]

    def test_a_renamed_file_is_the_same_workflow_by_its_key(self, watching: Watching, folder: Path) -> None:
        (folder / "search.yml").rename(folder / "a.yml")
        (folder / "hello").rename(folder / "hallo")
        lines = watching.look()
        assert [line.partition(":")[0] for line in lines] == [
            "flows/hello/workflow.yml is gone; hello stays stored",
            "flows/search.yml is gone; lookup stays stored",
            "reloaded lookup from flows/a.yml",
            "stored hallo from flows/hallo/workflow.yml",
        ]

    def test_two_files_with_one_key(self, watching: Watching, folder: Path) -> None:
        (folder / "a.yml").write_text(workflow("other", "lookup"))
        assert watching.look() == ["not reloaded: flows/a.yml has the same key as flows/search.yml: lookup"]
        assert watching.says("lookup") == "found"
        (folder / "search.yml").unlink()
        first, second = watching.look()
        assert first == "flows/search.yml is gone; lookup stays stored"
        assert second.startswith("reloaded lookup from flows/a.yml")
        assert watching.says("lookup") == "other"

    def test_two_files_may_swap_their_keys(self, watching: Watching, folder: Path) -> None:
        (folder / "hello/workflow.yml").write_text(workflow("first", "lookup"))
        (folder / "search.yml").write_text(workflow("found", "hello"))
        assert len(watching.look()) == 2
        assert (watching.says("lookup"), watching.says("hello")) == ("first", "found")

    def test_stubs(self, watching: Watching, folder: Path) -> None:
        path = folder / "stubs.yml"
        path.write_text("said: stub\n")
        assert watching.look() == ["reloaded the stubs from flows/stubs.yml"]
        assert watching.says("hello") == "stub"
        path.write_text("- said\n")
        (line,) = watching.look()
        assert line.startswith("not reloaded: flows/stubs.yml, line 1, column 1: stubs are a mapping")
        assert watching.says("hello") == "stub"
        path.unlink()
        assert watching.look() == ["flows/stubs.yml is gone; the stubs from it stay"]
        path.write_text("said: [one, two]\n")
        watching.look()
        assert watching.says("hello") == "one"
        os.utime(path, (1, 1))
        assert watching.look() == []
        assert watching.says("hello") == "two"

    def test_links(self, watching: Watching, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "real.yml").write_text(workflow("linked"))
        (folder / "link.yml").symlink_to(tmp_path / "real.yml")
        (folder / "nothing.yml").symlink_to("nowhere.yml")
        (folder / "loop.yml").symlink_to("loop.yml")
        first, second, third = watching.look()
        assert first.startswith("stored link")
        assert second == "not reloaded: flows/loop.yml cannot be read: Too many levels of symbolic links"
        assert third == "not reloaded: flows/nothing.yml cannot be read: No such file or directory"
        (tmp_path / "real.yml").write_text(workflow("other"))
        (line,) = watching.look()
        assert line.startswith("reloaded link")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name here")
    def test_what_is_not_a_file_is_left_out(self, watching: Watching, folder: Path) -> None:
        os.mkfifo(folder / "pipe.yml")
        (folder / "hello/workflow.yaml").mkdir()
        assert watching.look() == []

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
    def test_permission_denied(self, watching: Watching, folder: Path) -> None:
        (folder / "search.yml").chmod(0)
        assert watching.look() == ["not reloaded: flows/search.yml cannot be read: Permission denied"]
        (folder / "search.yml").chmod(0o600)
        assert [line.partition(":")[0] for line in watching.look()] == ["reloaded lookup from flows/search.yml"]

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
    def test_a_folder_that_cannot_be_read_holds_up_no_other(self, watching: Watching, folder: Path) -> None:
        (folder / "hello").chmod(0)
        (folder / "search.yml").write_text(workflow("other", "lookup"))
        lines = watching.look()
        assert "not reloaded: flows/hello/workflow.yml cannot be read: Permission denied" in lines
        assert lines[-1].startswith("reloaded lookup from flows/search.yml")
        (folder / "hello").chmod(0o700)
        assert [line.partition(":")[0] for line in watching.look()] == ["reloaded hello from flows/hello/workflow.yml"]

    def test_the_folder_goes_and_comes_back(self, watching: Watching, folder: Path) -> None:
        folder.rename("elsewhere")
        said = "flows cannot be read: No such file or directory; no file is reloaded until it can be read"
        assert watching.look(5) == [said]
        Path("elsewhere").rename(folder)
        assert watching.look() == []
        (folder / "search.yml").write_text(workflow("other", "lookup"))
        assert len(watching.look()) == 1
        folder.rename("elsewhere")
        assert watching.look() == [said]

    def test_a_run_goes_on_with_the_config_with_which_it_began(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()

        def wait(inputs: dict[str, Any], _: object) -> str:
            begun.set()
            assert go_on.wait(PATIENCE)
            return str(inputs["text"])

        watching = Watching(folder, capsys)
        watching.server = LocalScout(workflows=watching.reloads.workflows, blocks={"said": wait})
        outputs: list[str] = []
        with watching.server:
            thread = threading.Thread(target=lambda: outputs.append(watching.says("hello")))
            thread.start()
            assert begun.wait(PATIENCE)
            (folder / "hello/workflow.yml").write_text(workflow("second"))
            assert len(watching.look()) == 1
            go_on.set()
            thread.join(PATIENCE)
            assert outputs == ["first"]
            assert watching.says("hello") == "second"


class Running:
    """The command in a process of its own, whose lines on stderr are read as they come."""

    def __init__(self, *args: object, **env: str) -> None:
        self.process = subprocess.Popen(
            command(*args), env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def line_with(self, text: str) -> str:
        """The first line with a text, once it is there."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self.lines), PATIENCE), self.lines
            return next(line for line in self.lines if text in line)

    def stop(self) -> tuple[int, str]:
        """The exit code after Ctrl-C, and what is on stdout that nobody has read yet."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        assert self.process.stdout is not None
        return code, self.process.stdout.read()


@contextlib.contextmanager
def running(*args: object, **env: str) -> Iterator[Running]:
    made = Running(*args, **env)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def wait_for(happens: Callable[[], bool]) -> Iterator[None]:
    """Let a loop go on until something has happened."""
    ends_at = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < ends_at, "it did not happen"
        yield
        time.sleep(0.02)


class Browser:
    """A browser that writes down the addresses it opens."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "opened"
        self.command = folder / "browser"
        # With a line on stdout, which must not come between the output of a run.
        self.command.write_text(f'#!/bin/sh\necho noise\necho "$1" >> "{self._log}"\n')
        self.command.chmod(0o755)

    @property
    def opened(self) -> list[str]:
        return self._log.read_text().split() if self._log.exists() else []

    def wait(self) -> str:
        """The address that it opens."""
        for _ in wait_for(lambda: bool(self.opened)):
            pass
        (url,) = self.opened
        return url


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    if os.name != "posix":
        pytest.skip("a shell script is the browser")
    return Browser(tmp_path)


class TestBrowser:
    def test_it_may_take_its_time(self, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        # This one waits for a file that is made when the caller has gone on.
        browser.command.write_text(f'#!/bin/sh\nuntil [ -e "{tmp_path}/go" ]; do sleep 0.02; done\nexit 7\n')
        monkeypatch.setenv("BROWSER", str(browser.command))
        page = OpenedPage("http://127.0.0.1:1/")
        page.look()
        (tmp_path / "go").touch()
        assert page._process is not None
        assert page._process.wait(PATIENCE) != 0

    @pytest.mark.skipif(sys.platform != "linux", reason="there is always another browser here")
    def test_none_is_started_that_draws_on_the_terminal(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("www-browser", "links", "elinks", "lynx", "w3m"):
            (browser.command.parent / name).symlink_to(browser.command)
        monkeypatch.setenv("PATH", str(browser.command.parent), prepend=os.pathsep)
        monkeypatch.setenv("TERM", "xterm")
        for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"):
            monkeypatch.delenv(name, raising=False)
        page = OpenedPage("http://127.0.0.1:1/")
        assert page._process is not None
        page._process.wait(PATIENCE)
        page.look()
        page.look()
        assert browser.opened == []
        assert capsys.readouterr().err == "scout: no browser could be opened here; the address is http://127.0.0.1:1/\n"


class TestServer:
    def test_it_opens_its_page_and_reloads_files(self, folder: Path, browser: Browser) -> None:
        arguments = ("local", "--port", 0, "--workflows", folder, "--open")
        with running(*arguments, BROWSER=str(browser.command)) as local:
            page = local.line_with("the page with the runs is ").split()[-1]
            assert browser.wait() == page
            local.line_with("stop it with Ctrl-C")
            (folder / "search.yml").write_text(workflow("other", "lookup"))
            local.line_with("reloaded lookup from flows/search.yml: revision rev_")
            with Scout("any", base_url=page) as client:
                assert client.workflows.execute("key:lookup").text == "other"
            code, output = local.stop()
        assert code == 0
        assert output.startswith("export SCOUT_BASE_URL=")
        assert "noise" not in output
        assert not any("no browser" in line for line in local.lines)

    @pytest.mark.skipif(sys.platform != "linux", reason="there is always another browser here")
    def test_without_a_browser_it_says_so_and_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def serve(server: LocalScout, look: Callable[[], None]) -> None:
            for _ in wait_for(lambda: "no browser" in sys.stderr.buffer.getvalue().decode()):
                look()
            server.close()

        monkeypatch.setattr(LocalScout, "serve_forever", serve)
        done = run_here("local", "--port", 0, "--open", env={"BROWSER": "/nowhere/browser"})
        assert done.returncode == 0
        page = re.findall("the page with the runs is (.*)", done.stderr)[0]
        assert f"scout: no browser could be opened here; the address is {page}\n" in done.stderr

    def test_a_mistake_at_the_start_is_named_with_its_place(self, folder: Path) -> None:
        (folder / "search.yml").write_text("name: x\ntags: 5\nblocks: []\n")
        done = run_here("local", "--port", 0, "--workflows", folder, env={})
        assert done.returncode == 2
        assert "flows/search.yml:2:7: SW011 `tags` must be a list" in done.stderr

    def test_with_a_key_it_says_what_the_page_asks_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(LocalScout, "serve_forever", lambda server, _: server.close())
        done = run_here("local", "--port", 0, "--api-key-env", "KEY", env={"KEY": "secret_x"})
        assert re.search(r"page with the runs is http://\S+/; it asks for the key, as the password", done.stderr)
        assert "secret_x" not in done.stderr

    def test_what_has_not_changed_adds_no_revision(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        revisions: list[list[str]] = []

        def serve(server: LocalScout, look: Callable[[], None]) -> None:
            for path in folder.rglob("*.yml"):
                os.utime(path, (1, 1))
            look()
            look()
            with Scout("any", base_url=server.url) as client:
                revisions.append([each.revision_id for each in client.workflows.revisions("key:hello")])
            server.close()

        monkeypatch.setattr(LocalScout, "serve_forever", serve)
        for _ in range(3):
            assert run_here("local", "--port", 0, "--workflows", folder, "--store", "s.db", env={}).returncode == 0
        assert len(revisions[0]) == 1
        assert revisions == [revisions[0]] * 3

    def test_without_its_page(self, monkeypatch: pytest.MonkeyPatch) -> None:
        statuses: list[int] = []

        def serve(server: LocalScout, _: object) -> None:
            statuses.append(httpx.get(server.url).status_code)
            server.close()

        monkeypatch.setattr(LocalScout, "serve_forever", serve)
        done = run_here("local", "--port", 0, "--no-page", env={})
        assert (done.returncode, statuses) == (0, [404])
        assert "page" not in done.stderr

    def test_the_page_cannot_be_opened_and_switched_off(self) -> None:
        done = run_here("local", "--open", "--no-page", env={})
        assert done.returncode == 2
        assert "--no-page: not allowed with argument --open" in done.stderr


class TestRun:
    def test_it_shows_the_run_until_ctrl_c(self, browser: Browser) -> None:
        with running("run", HELLO, *INPUT, "--local", "--open", BROWSER=str(browser.command)) as run:
            line = run.line_with("until you stop it with Ctrl-C")
            url = browser.wait()
            assert re.search(r"/page/runs/run_\w+$", url)
            assert url in line
            assert run.process.poll() is None
            code, output = run.stop()
        assert (code, output) == (0, "[gpt-4o stand-in] Hi\n")
        assert run.lines[-1] == line

    @pytest.fixture
    def here(self, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
        """The command in this process, where a page that was opened stands for Ctrl-C."""

        def serve(_: LocalScout, look: Any) -> None:
            process = look.__self__._process
            assert process.wait(PATIENCE) == 0
            look()

        def call(*args: object) -> Done:
            return run_here("run", *args, "--local", "--open", env={**os.environ, "BROWSER": str(browser.command)})

        monkeypatch.setattr(LocalScout, "serve_forever", serve)
        return call

    def test_the_page_is_opened_when_the_run_has_started(self, here: Callable[..., Done], browser: Browser) -> None:
        # The browser is asked for while the run still waits for it.
        def wait(_: object, __: object) -> str:
            return browser.wait()

        with pytest.MonkeyPatch.context() as patch:
            init = LocalScout.__init__
            patch.setattr(
                LocalScout, "__init__", lambda self, **options: init(self, blocks={"answer": wait}, **options)
            )
            done = here(HELLO, *INPUT)
        assert done.returncode == 0
        assert done.stdout == f"{browser.opened[0]}\n"

    def test_json_stays_one_object(self, here: Callable[..., Done], browser: Browser) -> None:
        done = here(HELLO, *INPUT, "--json")
        assert json.loads(done.stdout)["id"] in browser.opened[0]

    @pytest.mark.parametrize(
        ("arguments", "code", "page"),
        [
            ([HELLO, *INPUT, "--stream", "--fault", "cut_after=3"], 3, r"/page/runs/run_\w+"),
            (["search.yml"], 1, r"/page/runs/run_\w+"),
            ([HELLO, *INPUT, "--fault", "status=429,times=1,retry_after=0"], 0, r"/page/runs/run_\w+"),
            (["tags.yml", "--no-check"], 2, "/page/requests"),
            ([HELLO, *INPUT, "--fault", "status=500"], 3, "/page/requests"),
            ([HELLO, *INPUT, "--fault", "cut_after=0"], 3, "/"),
        ],
        ids=["cut off", "failed", "repeated", "refused", "a fault", "unknown"],
    )
    def test_what_has_gone_wrong_is_shown_too(
        self,
        arguments: list[object],
        code: int,
        page: str,
        here: Callable[..., Done],
        browser: Browser,
        folder: Path,
    ) -> None:
        del folder  # it is the current one
        serp = {"block_id": "a", "block_display_name": "A", "block_archetype_id": "com.scoutos.serp"}
        Path("search.yml").write_text(json.dumps({"blocks": [serp]}))
        Path("tags.yml").write_text("tags: 5\n")
        done = here(*arguments)
        assert done.returncode == code, done.stderr
        assert re.fullmatch(f"http://127.0.0.1:[0-9]+{page}", browser.opened[0])
        assert done.stderr.endswith(f"the page is {browser.opened[0]}, until you stop it with Ctrl-C\n")

    def test_nothing_is_shown_of_what_was_not_sent(self, here: Callable[..., Done], browser: Browser) -> None:
        done = here(HELLO, *INPUT, "--block", "nope")
        assert done.returncode == 2
        done = here(HELLO, *INPUT, "--stubs", "nowhere.yml")
        assert done.returncode == 2
        assert "nowhere.yml" in done.stderr
        assert browser.opened == []

    def test_it_is_for_the_local_scout(self) -> None:
        done = run_here("run", HELLO, "--open", env={"SCOUT_API_KEY": "secret_x"})
        assert done.returncode == 2
        assert "--open is for the local Scout" in done.stderr


class TestTokenDelay:
    def test_the_stand_in_waits_between_words(self) -> None:
        began = time.monotonic()
        done = run_here("run", HELLO, "--input", "user_message=a b c", "--local", "--token-delay", "0.1", env={})
        assert time.monotonic() - began >= 0.4  # of five words
        assert done.stdout == "[gpt-4o stand-in] a b c\n"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--local", "--token-delay", "-1"], "--token-delay must be a number of seconds from 0, not -1.0"),
            (["--local", "--token-delay", "nan"], "--token-delay must be"),
            (["--local", "--token-delay", "slow"], "'slow' is not a number"),
            (["--token-delay", "0"], "--token-delay is for the local Scout"),
        ],
    )
    def test_what_cannot_work(self, arguments: list[str], said: str) -> None:
        done = run_here("run", HELLO, *INPUT, *arguments, env={"SCOUT_API_KEY": "secret_x"})
        assert done.returncode == 2
        assert said in done.stderr

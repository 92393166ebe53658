"""`LocalScout`: the server, in a thread of its own, on a port of the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from scout._json import is_mapping, json_fault, parse_json, write_json
from scout.errors import ConfigurationError

from .access import Access
from .blocks import LLM, Handler, builtin_handlers
from .clock import RealTimeLoop
from .faults import EVENT_FAULTS, Fault, Faults, is_seconds
from .history import History, LocalRequest, LocalRun
from .store import Store
from .stubs import Stubs, StubsSource

if TYPE_CHECKING:
    from .http_server import HttpServer
    from .llm import ChatCompletions

_HOST = "127.0.0.1"
_START_SECONDS = 30.0
_CLOSE_SECONDS = 0.9
_BACKLOG = 2048
_TICK_SECONDS = 0.25
_NEEDED = ("jinja2", "jsonschema", "starlette", "uvicorn")


class LocalScout:
    """A server with the workflow API on this machine, for development and tests. It is not Scout.

    It runs workflows in memory, with a deterministic stand-in for language models, and with handlers and stubs for
    other blocks. Only programs on this machine can reach it.

    ```
    with LocalScout() as local:
        with Scout("any", base_url=local.url) as scout:
            ...
    ```

    Args:
        port: The port to listen on; 0 for any free port.
        api_key: The only accepted key; `None` accepts any key that is not empty.
        blocks: Handlers by block id or archetype, for example `{"com.scoutos.serp": function}`. They replace built-in
            blocks. See `Handler`.
        stubs: Outputs by block id or archetype, as a mapping or a YAML file: `{"com.scoutos.serp": "results"}`. They
            replace all handlers. A list of stubs gives one item per call; the last one repeats.
        env: The variables in `_env` for templates, which cannot read the environment of the process.
        workflows: Configs by key, such as `load_workflow(path).config`, which are stored and deployed at the start.
        store: The path of a file for stored workflows; by default they are kept in memory.
        faults: The faults to simulate. See `Fault`.
        llm_base_url: The URL of an OpenAI-compatible server to use instead of the stand-in, such as
            `http://127.0.0.1:11434/v1`.
        llm_api_key: The key for that server.
        token_delay: The seconds between two tokens of the stand-in.
        page: Serve the page at `url`, on which people look at runs.
        on_access: A function to call with an `Access` after every request, in the thread of the server.

    Raises:
        ConfigurationError: An option is invalid.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str | None = None,
        blocks: Mapping[str, Handler] | None = None,
        stubs: StubsSource | None = None,
        env: Mapping[str, str] | None = None,
        workflows: Mapping[str, Mapping[str, Any]] | None = None,
        store: str | os.PathLike[str] | None = None,
        faults: Iterable[Fault] = (),
        llm_base_url: str | None = None,
        llm_api_key: str | None = None,
        token_delay: float = 0.0,
        page: bool = True,
        on_access: Callable[[Access], None] | None = None,
    ) -> None:
        _check_options(port, api_key, blocks or {}, env or {}, workflows or {}, token_delay, on_access)
        self._port = port
        self._api_key = api_key
        self._llm = _language_model(llm_base_url, llm_api_key)
        models: dict[str, Handler] = {} if self._llm is None else {LLM: self._llm.answer}
        self._handlers: dict[str, Handler] = {**builtin_handlers(token_delay), **models, **(blocks or {})}
        self._token_delay = token_delay
        self._stubs = Stubs(stubs or {})
        self._env = dict(env or {})
        self._workflows = {key: _plain(key, config) for key, config in (workflows or {}).items()}
        self._store_path = store
        self._store: Store | None = None
        self._faults = Faults(faults)
        self._history = History()
        self._page = page
        self._on_access = on_access
        self._secrets = [text for text in (api_key, llm_api_key, *self._env.values()) if text]
        self._lock = threading.Lock()
        self._pid = 0
        self._thread: threading.Thread | None = None
        self._ended: threading.Event = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: HttpServer | None = None
        self._closed = False

    @property
    def url(self) -> str:
        """The URL of the server, such as `http://127.0.0.1:8787`.

        Raises:
            ConfigurationError: The server has not been started, so that its port is not known.
        """
        if self._thread is None:
            raise ConfigurationError(
                "The local Scout has no address before it is started. Start it, or use it in a with statement."
            )
        return f"http://{_HOST}:{self._port}"

    @property
    def requests(self) -> list[LocalRequest]:
        """The received requests, oldest first: at most the last thousand, and at most 64 MiB."""
        return self._history.requests.all()

    @property
    def runs(self) -> list[LocalRun]:
        """The runs that have ended, oldest first, with the limits of `requests`."""
        return self._history.runs()

    @property
    def workflow_ids(self) -> dict[str, str]:
        """The ids of the stored workflows by key. Empty before the start and after the end of the server."""
        with self._lock:
            return {} if self._store is None or self._closed else self._store.ids()

    def fail_next(self, status: int | Fault | None = None, *, times: int | None = None, **fault: Any) -> None:
        """Simulate a fault in the next request: `fail_next(503)`, `fail_next(429, retry_after=1, times=2)`.

        Args:
            status: The status to answer with, or a `Fault` without further arguments. Without other faults, the default
                is 500, or 429 with `retry_after`.
            times: The number of requests to which the fault applies, after those of earlier calls. The default is 1; a
                `rate` applies until the next `reset`.
            **fault: Other attributes of `Fault`, such as `cut_after=3`.

        Raises:
            ConfigurationError: A value is invalid, or the values cannot be combined.
        """
        if isinstance(status, Fault):
            if fault:
                raise ConfigurationError(f"a Fault has all that is to go wrong; put {', '.join(fault)} into it.")
            wanted = status
        else:
            if status is None and not fault.keys() & {"rate", "delay", *EVENT_FAULTS}:
                status = 429 if "retry_after" in fault else 500
            wanted = Fault(status=status, **fault)
        if wanted.times is None:
            wanted = replace(wanted, times=1 if times is None and wanted.rate is None else times)
        self._faults.add(wanted)

    def stub(self, name: str, output: Any) -> None:
        """Set the output of a block from now on.

        Args:
            name: The id or the archetype of the block, such as `com.scoutos.llm`.
            output: Any JSON, or a function as in `blocks`. A list gives one item per call, and the last one repeats;
                for an output that is a list, put it in another list: `[["a", "b"]]`.

        Raises:
            ConfigurationError: JSON cannot represent the output.
        """
        self._stubs.set(name, output)

    def deploy(self, key: str, config: Mapping[str, Any]) -> str:
        """Store a workflow while the server runs, or a new revision of one, until the next `reset`.

        Runs that have started go on with the config with which they began. A config that is the newest revision
        already is not stored again.

        Args:
            key: The key of the workflow. One that does not exist is created.
            config: The config, such as `load_workflow(path).config`.

        Returns:
            The id of the revision.

        Raises:
            ConfigurationError: The key or the config is invalid, the file of `store` cannot be used, or the server does
                not run.
        """
        plain = _plain(key, config)
        _check_workflows({key: plain})
        with self._lock:
            if self._store is None or self._closed:
                raise ConfigurationError("The local Scout stores a workflow while it runs, and it does not.")
            return self._store.put(key, plain)

    def replace_stubs(self, stubs: StubsSource) -> None:
        """Replace all stubs, also those that `reset` restores, as if the server had been created with these.

        Args:
            stubs: The stubs, as a mapping or a YAML file.

        Raises:
            ConfigurationError: They cannot be read, or are invalid. Then nothing is changed.
        """
        self._stubs.replace(stubs)

    def unused_stubs(self, *, added: bool = False) -> list[str]:
        """Return the names of the stubs that no block has used since the last `reset`.

        Args:
            added: Only those that `stub` has set since, and none that the server was created with.
        """
        return self._stubs.unused(added=added)

    def reset(self) -> None:
        """Drop all requests, runs and logs, and restore what the server was created with: workflows, stubs and faults.

        Workflows in a file (`store`) are kept.
        """
        self._history.reset()
        self._faults.reset()
        self._stubs.reset()
        with self._lock:
            if self._store is not None and not self._closed:
                self._store.fill(self._workflows)

    def start(self) -> Self:
        """Start the server, and return when it accepts requests. Do nothing when it is running.

        Raises:
            ConfigurationError: A package of the `local` extra is not installed, the port is in use, or the server was
                closed.
        """
        with self._lock:
            if self._closed:
                raise ConfigurationError("This local Scout was closed. Make a new one.")
            if self._thread is None:
                _check_python()
                _check_workflows(self._workflows)
                with contextlib.ExitStack() as undo:
                    listener = undo.enter_context(_listen(self._port))
                    self._store = undo.enter_context(contextlib.closing(Store(self._store_path)))
                    self._store.fill(self._workflows)
                    self._start_thread(listener)
                    undo.pop_all()  # the thread closes both from now on
        return self

    def close(self) -> None:
        """Stop the server, and cancel its runs. Any thread may call this. Further calls do nothing."""
        with self._lock:
            self._closed = True
            thread, loop, server = self._thread, self._loop, self._server
            # After a fork, the server belongs to the parent process.
            if thread is None or loop is None or server is None or self._pid != os.getpid():
                return
            with contextlib.suppress(RuntimeError):  # it has ended already
                loop.call_soon_threadsafe(server.stop)
        # Not with `join` alone: after an interrupted `join` (Ctrl-C), Python 3.11 and 3.12 take a thread for ended.
        if thread is not threading.current_thread() and self._ended.wait(_CLOSE_SECONDS):
            thread.join(_CLOSE_SECONDS)

    def serve_forever(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Serve until the program is interrupted (Ctrl-C), then close.

        Args:
            meanwhile: A function to call a few times per second, in this thread.

        Raises:
            ConfigurationError: As `start`.
        """
        self.start()
        try:
            # With a timeout, because on Windows Ctrl-C does not interrupt a wait without one.
            while not self._ended.wait(_TICK_SECONDS):
                if meanwhile is not None:
                    meanwhile()
        except KeyboardInterrupt:
            pass
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "closed" if self._closed else "not started" if self._thread is None else self.url
        return f"<LocalScout {where}>"

    def _start_thread(self, listener: socket.socket) -> None:
        self._port = listener.getsockname()[1]
        self._pid = os.getpid()
        self._ended = threading.Event()
        started = threading.Event()
        failures: list[BaseException] = []

        def serve() -> None:
            try:
                with asyncio.Runner(loop_factory=RealTimeLoop) as runner:
                    runner.run(self._serve(listener, started.set))
            except BaseException as error:
                if started.is_set():
                    raise
                failures.append(error)
            finally:
                listener.close()
                started.set()
                self._ended.set()

        self._thread = threading.Thread(target=serve, name="scout-local", daemon=True)
        self._thread.start()
        started.wait(_START_SECONDS)
        if failures:
            self._thread = None
            raise failures[0]

    async def _serve(self, listener: socket.socket, on_started: Callable[[], None]) -> None:
        from .app import build_app
        from .engine import Engine
        from .http_server import HttpServer
        from .renderer import Renderer

        store = cast("Store", self._store)
        renderer = Renderer(self._env)
        try:
            app = build_app(
                Engine(self._handlers, renderer, stubs=self._stubs, token_delay=self._token_delay),
                store=store,
                history=self._history,
                faults=self._faults,
                api_key=self._api_key,
                on_access=self._on_access,
                secrets=self._secrets,
                stubs=self._stubs,
                has_page=self._page,
            )
            self._loop = asyncio.get_running_loop()
            self._server = HttpServer(app, on_started)
            await self._server.serve_on(listener)
        finally:
            renderer.close()
            store.close()
            if self._llm is not None:
                await self._llm.aclose()


def _language_model(base_url: str | None, api_key: str | None) -> ChatCompletions | None:
    if base_url is None:
        if api_key is not None:
            raise ConfigurationError("llm_api_key is for the server that llm_base_url names; give both.")
        return None
    from .llm import ChatCompletions  # imports httpx, which is slow

    return ChatCompletions(base_url, api_key)


def _check_options(
    port: object,
    api_key: object,
    blocks: object,
    env: object,
    workflows: object,
    token_delay: object,
    on_access: object,
) -> None:
    # Typed as object, because not every caller uses a type checker.
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigurationError(f"port must be a number between 0 and 65535, not {port!r}.")
    if api_key is not None and not (isinstance(api_key, str) and re.fullmatch(r"[!-~]+", api_key)):
        raise ConfigurationError("api_key must be text of visible ASCII characters. Leave it out to let in any key.")
    if not is_seconds(token_delay):
        raise ConfigurationError(f"token_delay must be a number of seconds from 0, not {token_delay!r}.")
    for name, value in (("blocks", blocks), ("env", env), ("workflows", workflows)):
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{name} must be a mapping, not {type(value).__name__}.")
    for archetype, handler in cast("Mapping[object, object]", blocks).items():
        if not isinstance(archetype, str):
            raise ConfigurationError(f"blocks must map ids or archetypes to functions, and {archetype!r} is none.")
        if not callable(handler):
            raise ConfigurationError(f'blocks["{archetype}"] must be a function, not {type(handler).__name__}.')
    for variable, text in cast("Mapping[object, object]", env).items():
        if not (isinstance(variable, str) and isinstance(text, str)):
            raise ConfigurationError(f"env must map names to text, and does not for {variable!r}.")
    if on_access is not None and not callable(on_access):
        raise ConfigurationError(f"on_access must be a function, not {type(on_access).__name__}.")


def _plain(key: object, config: object) -> dict[str, Any]:
    """Return a copy of a config as plain JSON.

    Raises:
        ConfigurationError: The key or the config is invalid.
    """
    if not (isinstance(key, str) and key):
        raise ConfigurationError(f"workflows must map keys to configs, and {key!r} is no key.")
    if not is_mapping(config):
        raise ConfigurationError(f'workflows["{key}"] must be a config, such as load_workflow(path).config.')
    own = dict(config)
    if fault := json_fault(own):
        raise ConfigurationError(f'workflows["{key}"] does not fit into JSON: {fault}')
    plain: dict[str, Any] = parse_json(write_json(own, strict=True))
    return plain


def _check_workflows(configs: Mapping[str, Mapping[str, Any]]) -> None:
    if not configs:
        return
    from .validation import RequestRules  # slow to import

    rules = RequestRules("/v2/workflows", "post")
    for key, config in configs.items():
        for detail in rules.check_body(config):
            place = ".".join(map(str, detail["loc"][1:]))
            raise ConfigurationError(f'workflows["{key}"] is no config: {place}: {detail["msg"]}')


def _check_python() -> None:
    if getattr(sys, "frozen", False):
        # Templates are rendered by a second interpreter, and here `sys.executable` is the program itself, which would
        # start itself again and again.
        raise ConfigurationError(
            "The local Scout cannot run inside a frozen program, which has no Python interpreter for the templates. "
            "Start `scout local` beside it, and pass its address as base_url."
        )
    lacking = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if lacking:
        raise ConfigurationError(f"The local Scout needs {' and '.join(lacking)}: pip install 'scout-workflows[local]'")


def _listen(port: int) -> socket.socket:
    # With IPPROTO_TCP, because asyncio checks for it before it turns off Nagle's algorithm, which would delay the
    # second part of every response by 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows this would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
        return listener
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"The local Scout cannot listen on port {port}: {error.strerror}.") from error

"""The `scout` command for tests: in this process, or in one of its own where a process is the point.

A start of Python costs some 0.3 s of CPU. Use `run_process` only for what a process alone can show: signals, broken
pipes, closed streams, encodings, terminals, `python -m scout`, the exit code of the interpreter.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

# No command takes longer; it only bounds what is already broken.
PATIENCE = 20.0

Done = subprocess.CompletedProcess[str]


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "scout", *map(str, args)]


def run_process(*args: object, env: Mapping[str, str], stdin: bytes = b"", cwd: Path | None = None) -> Done:
    done = subprocess.run(command(*args), env=env, input=stdin, capture_output=True, timeout=PATIENCE, cwd=cwd)
    return Done(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def run_here(
    *args: object, env: Mapping[str, str], stdin: bytes = b"", cwd: Path | None = None, encoding: str = "utf-8"
) -> Done:
    """Call the command as its process would, with streams that are no terminals; an uncaught exception is raised."""
    from scout.cli import main

    argv = list(map(str, args))
    return call_here(lambda: main(argv), env=env, stdin=stdin, cwd=cwd, encoding=encoding)


def run_on_a_terminal(*args: object, env: Mapping[str, str], answer: Callable[[], str]) -> Done:
    """Call the command where stdin and stderr are terminals; `answer` is called when the question has been asked."""
    from scout.cli import main

    class Terminal:
        encoding = "utf-8"
        isatty = staticmethod(lambda: True)
        readline = staticmethod(answer)

    def program() -> int:
        with patch.object(sys, "stdin", Terminal()), patch.object(sys.stderr, "isatty", lambda: True):
            return main(list(map(str, args)))

    return call_here(program, env=env)


def call_here(
    program: Callable[[], int],
    *,
    env: Mapping[str, str],
    stdin: bytes = b"",
    cwd: Path | None = None,
    encoding: str = "utf-8",
) -> Done:
    """Call a function that returns an exit code with the surroundings of a process of its own."""
    with _streams(stdin, encoding) as (out, err), patch.dict(os.environ, env, clear=True), _folder(cwd):
        code = program()
    return Done([], code, out.getvalue().decode(), err.getvalue().decode())


@contextmanager
def _streams(stdin: bytes, encoding: str) -> Iterator[tuple[io.BytesIO, io.BytesIO]]:
    """Standard streams with the encodings and errors that Python gives to pipes."""
    out, err = io.BytesIO(), io.BytesIO()
    replaced = {
        "stdin": io.TextIOWrapper(io.BytesIO(stdin), "utf-8"),
        "stdout": io.TextIOWrapper(out, encoding),
        "stderr": io.TextIOWrapper(err, "utf-8", errors="backslashreplace", line_buffering=True),
    }
    with patch.multiple(sys, **replaced):
        try:
            yield out, err
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream in replaced.values():
                stream.detach()


@contextmanager
def _folder(path: Path | None) -> Iterator[None]:
    before = Path.cwd()
    try:
        if path is not None:
            os.chdir(path)
        yield
    finally:
        os.chdir(before)

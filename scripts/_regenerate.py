"""Make generated/scout_generated from openapi.yaml, or say how it differs from what would be made.

Called by scripts/regenerate, with the Python of .venv.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import openapi_python_client
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
SPEC = ROOT / "openapi.yaml"
GENERATOR = ROOT / "scripts" / "generator"
TEMPLATES = GENERATOR / "templates"
UPSTREAM_RECORD = GENERATOR / "upstream.sha256"
UPSTREAM_TEMPLATES = Path(openapi_python_client.__file__).parent / "templates"
TARGET = ROOT / "generated" / "scout_generated"


def main() -> int:
    """Run the command line; 0 when all is well, 1 when something differs or the generator fails."""
    parser = argparse.ArgumentParser(prog="scripts/regenerate", description=__doc__)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="change nothing; fail on any difference")
    group.add_argument(
        "--accept-upstream",
        action="store_true",
        help="record the generator's own templates as the ones ours are merged with",
    )
    options = parser.parse_args()

    if options.accept_upstream:
        UPSTREAM_RECORD.write_text("".join(f"{line}\n" for line in upstream_lines()))
        return 0
    drift = upstream_drift()
    if drift:
        print("\n".join(drift), file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="regenerate-") as folder:
        made = Path(folder) / TARGET.name
        if not generate(made):
            return 1
        if options.check:
            return report(TARGET, made)
        # Only now is the old package removed: a failing generator leaves it as it was.
        shutil.rmtree(TARGET, ignore_errors=True)
        shutil.copytree(made, TARGET)
    return 0


def generate(target: Path) -> bool:
    """Write the whole package to a folder that does not exist yet; print what the generator says if it fails."""
    bin_folder = str(Path(sys.executable).parent)
    spec = YAML(typ="safe").load(SPEC)
    given = target.with_name("without_streams.json")
    given.write_text(json.dumps(without_streams(spec)), encoding="utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"]
    command += ["--path", str(given), "--config", str(GENERATOR / "config.yml")]
    command += ["--custom-template-path", str(TEMPLATES), "--output-path", str(target)]
    environment = {**os.environ, "PATH": os.pathsep.join([bin_folder, os.environ.get("PATH", os.defpath)])}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        return False
    (target / "py.typed").touch()
    # By hand, but here: pytest must be able to load it where another module is called `scout`.
    shutil.copyfile(GENERATOR / "pytest_plugin.py", target / "pytest_plugin.py")
    (target / "openapi.json").write_text(json.dumps(spec, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    write_operations(target)
    return True


def without_streams(spec: Any) -> Any:
    """Return the spec without the media type of event streams.

    The generated code does not read streams. The generator would take one for text that can be read as a class, which
    it invents.
    """
    if isinstance(spec, dict):
        return {key: without_streams(value) for key, value in spec.items() if key != "text/event-stream"}
    return [without_streams(each) for each in spec] if isinstance(spec, list) else spec


def write_operations(target: Path) -> None:
    """Write a module for each operation that makes its request, by the name of the operation alone.

    The generator puts an operation into the folder of its first tag. Tags are for readers of the spec, and a change of
    them must not be a change of the facade.
    """
    operations = target / "operations"
    operations.mkdir()
    (operations / "__init__.py").write_text('"""Makers of requests, by the name of the operation."""\n')
    for module in sorted((target / "api").glob("*/*.py")):
        if module.name != "__init__.py":
            tag, name = module.parent.name, module.stem
            line = f"from ..api.{tag}.{name} import get_kwargs as get_kwargs\n"
            (operations / module.name).write_text(line)


def report(present: Path, expected: Path) -> int:
    """Print how the present package differs from the expected one; 0 when it does not, else 1."""
    present_files, expected_files = files(present), files(expected)
    problems: list[str] = []
    for name in sorted(present_files | expected_files):
        shown = (present / name).relative_to(ROOT)
        if name not in expected_files:
            problems.append(f"{shown}: the generator does not make this file")
        elif name not in present_files:
            problems.append(f"{shown}: missing")
        elif (present / name).read_bytes() != (expected / name).read_bytes():
            problems.append(difference(present / name, expected / name, str(shown)))
    if problems:
        print("\n".join(problems), file=sys.stderr)
        print("regenerate: generated/ is not what openapi.yaml makes; run scripts/regenerate", file=sys.stderr)
    return 1 if problems else 0


def files(folder: Path) -> set[str]:
    """Names of all files below a folder, but for what Python itself leaves behind."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {name.as_posix() for name in found if "__pycache__" not in name.parts}


def difference(present: Path, expected: Path, shown: str) -> str:
    """A unified diff from the file that is there to the one that should be."""
    # A byte that is not UTF-8, or a carriage return, must be seen rather than stop the report.
    sides = [
        path.read_bytes().decode("utf-8", "backslashreplace").replace("\r", "\\r").splitlines()
        for path in (present, expected)
    ]
    lines = difflib.unified_diff(*sides, f"{shown} (as it is)", f"{shown} (as generated)", lineterm="")
    return "\n".join(lines) or f"{shown}: differs in its line ends"


def upstream_lines() -> list[str]:
    """One line `sha256  name` for the generator's own version of each template that we replace."""
    names = sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.jinja"))
    return [f"{upstream_hash(name)}  {name}" for name in names]


def upstream_hash(name: str) -> str:
    """The SHA-256 of one of the generator's own templates, or `absent`."""
    path = UPSTREAM_TEMPLATES / name
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"


def upstream_drift() -> list[str]:
    """What to tell a maintainer whose generator has other templates than the ones ours were made from."""
    recorded = set(UPSTREAM_RECORD.read_text().splitlines()) if UPSTREAM_RECORD.is_file() else set()
    now = set(upstream_lines())
    names = sorted({line.split()[-1] for line in recorded ^ now})
    if not names:
        return []
    version = importlib.metadata.version("openapi-python-client")
    return [
        f"regenerate: openapi-python-client {version} has other templates than the ones ours were merged with:",
        *(f"  merge scripts/generator/templates/{name} with {UPSTREAM_TEMPLATES / name}" for name in names),
        "then run: scripts/regenerate --accept-upstream",
    ]


if __name__ == "__main__":
    sys.exit(main())

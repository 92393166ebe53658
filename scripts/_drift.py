"""Compares openapi.yaml with the vendor's Python SDK.

_drift.py [--sdk FOLDER | --latest | --live [--yes] [--keep FOLDER]]

Known differences stand in drift.toml, each with a reason. Exit code 0: there is no other one. 1: there is. 2: something
could not be read.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from _drift_apis import ANY, NULL, Api, Field, Fields, Json, Sdk, Spec, UnreadableError, show

ROOT = Path(__file__).parent.parent
SPEC = ROOT / "generated/scout_generated/openapi.json"
ACCEPTED = ROOT / "scripts/drift.toml"

# --- What differs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """One difference: where, of which kind, and what each says. `in_answer`: it is in what only the server sends."""

    place: str
    kind: str
    sdk: str
    spec: str
    in_answer: bool = False

    def __str__(self) -> str:
        if self.kind in (ONLY_SDK, ONLY_SPEC):
            return f"{self.place}: only in the {'SDK' if self.kind == ONLY_SDK else 'spec'}: {self.sdk or self.spec}"
        return f"{self.place}: the SDK says {self.sdk}, the spec says {self.spec}"


# The kinds of differences, and what drift.toml calls them.
ONLY_SDK, ONLY_SPEC = "only-sdk", "only-spec"
REQUIRED_SDK, REQUIRED_SPEC = "required-sdk", "required-spec"
TYPE, NULL_SPEC = "type", "null-spec"
KINDS = {ONLY_SDK, ONLY_SPEC, REQUIRED_SDK, REQUIRED_SPEC, TYPE, NULL_SPEC}


def differences(sdk: Api, spec: Api) -> list[Difference]:
    """Return all differences, those of operations first."""
    found: dict[Difference, None] = {}  # in order, and each once
    sent = sdk.sent() | spec.sent()

    def alone(place: str, kind: str, what: str, *, in_answer: bool = False) -> None:
        says = (what, "") if kind == ONLY_SDK else ("", what)
        found[Difference(place, kind, *says, in_answer)] = None

    def compare(place: str, ours: Fields, theirs: Fields, *, in_answer: bool = False) -> None:
        """Compare fields; `ours` are those of the spec."""
        for name in [*theirs, *(each for each in ours if each not in theirs)]:
            where = place + name
            if name not in ours or name not in theirs:
                kind = ONLY_SDK if name in theirs else ONLY_SPEC
                alone(where, kind, _field(theirs.get(name) or ours[name]), in_answer=in_answer)
                continue
            found.update(dict.fromkeys(of_field(where, theirs[name], ours[name], in_answer=in_answer)))

    for area in sorted(sdk.areas):
        alone(f"area {area}", ONLY_SDK, "a package without an operation of the spec")
    for key in sorted({*sdk.operations, *spec.operations}):
        here, there = spec.operations.get(key), sdk.operations.get(key)
        if here is None or there is None:
            operation = here or there
            assert operation is not None
            alone(operation.place, ONLY_SPEC if here else ONLY_SDK, "an operation")
            continue
        compare(f"{here.place} ", here.parameters, there.parameters)
        compare(f"{here.place} body ", here.body, there.body)
        answers = [{name: Field(each, required=True) for name, each in one.answers.items()} for one in (here, there)]
        compare(f"{here.place} ", *answers, in_answer=True)
    for name in sorted(sdk.all_named() | spec.all_named()):
        in_answer = name not in sent
        if name not in spec.objects or name not in sdk.objects:
            alone(name, ONLY_SDK if name in sdk.objects else ONLY_SPEC, "an object", in_answer=in_answer)
            continue
        for theirs in sdk.objects[name]:
            compare(f"{name}.", spec.objects[name][0], theirs, in_answer=in_answer)
    return list(found)


def of_field(place: str, sdk: Field, spec: Field, *, in_answer: bool) -> Iterator[Difference]:
    """Give the differences of a field that both have."""
    if sdk.required != spec.required:
        kind = REQUIRED_SDK if sdk.required else REQUIRED_SPEC
        words = ("required", "optional") if sdk.required else ("optional", "required")
        yield Difference(place, kind, *words, in_answer)
    # An Optional of the SDK says that something may be absent, and nothing of null.
    theirs, ours = sdk.type - NULL, spec.type - NULL
    if theirs != ours:
        yield Difference(place, TYPE, show(theirs), show(ours), in_answer)
    if "null" in spec.type and "null" not in sdk.type and theirs != ANY:
        kind = TYPE if spec.required else NULL_SPEC
        yield Difference(place, kind, "never null", "null is allowed", in_answer)


def _field(each: Field) -> str:
    return f"{show(each.type - NULL)}, {'required' if each.required else 'optional'}"


# --- What is accepted ---------------------------------------------------------------------------------------------


class Accepted:
    """The file with the accepted differences."""

    def __init__(self, document: Json) -> None:
        self.names: dict[str, str] = document.get("names", {})
        self.kinds: list[Json] = document.get("kinds", [])
        self.entries: list[Json] = document.get("accepted", [])
        for each in [*self.kinds, *self.entries]:
            keys = {"kind", "reason"} if each in self.kinds else {"places", "kind", "sdk", "reason"}
            if set(each) - {"sdk"} != keys - {"sdk"} or each["kind"] not in KINDS or not each["reason"].strip():
                raise UnreadableError(f"drift.toml: an entry needs {', '.join(sorted(keys))}, and a known kind: {each}")
            if "places" in each and (each["kind"] == TYPE) != ("sdk" in each):
                raise UnreadableError(f"drift.toml: an entry of the kind type says what the SDK says, no other: {each}")

    def judge(self, found: list[Difference], classes: Iterable[str]) -> tuple[list[str], int]:
        """Return a line for each fault, and how many differences are accepted."""
        faults: list[str] = []
        used: set[Any] = set()
        accepted = 0
        for each in found:
            kinds = [rule["kind"] for rule in self.kinds if each.in_answer and rule["kind"] == each.kind]
            hits = [
                (number, pattern)
                for number, entry in enumerate(self.entries)
                for pattern in entry["places"]
                if entry["kind"] == each.kind and fnmatchcase(each.place, pattern)
            ]
            used |= {*kinds, *hits}
            texts = [self.entries[number].get("sdk", each.sdk) for number, _ in hits]
            if kinds or each.sdk in texts:
                accepted += 1
            else:
                faults.append(str(each) + "".join(f" (accepted is that the SDK says {text})" for text in texts))
        stale = [f"the kind {rule['kind']}" for rule in self.kinds if rule["kind"] not in used]
        stale += [
            f"{pattern} ({entry['kind']})"
            for number, entry in enumerate(self.entries)
            for pattern in entry["places"]
            if (number, pattern) not in used
        ]
        stale += [f"the class {name}, which no operation needs" for name in sorted(set(self.names) - set(classes))]
        return faults + [f"drift.toml accepts what is no longer there: {each}" for each in stale], accepted


def drift(folder: Path, spec: Json, accepted: Json) -> tuple[list[str], str]:
    """Compare.

    Args:
        folder: The SDK's package.
        spec: The OpenAPI document.
        accepted: What drift.toml holds.

    Returns:
        A line for each fault, and a summary.

    Raises:
        UnreadableError: something has an unknown form.
    """
    known = Accepted(accepted)
    ours = Spec(spec).read()
    prefixes = sorted({"/".join(each.path.split("/")[1:3]) for each in ours.operations.values()})
    sdk = Sdk(folder, known.names, prefixes)
    theirs = sdk.read()
    faults, count = known.judge(differences(theirs, ours), sdk.objects)
    operations = len({*ours.operations} & {*theirs.operations})
    return faults, f"{operations} operations and {len(sdk.objects)} types compared, {count} accepted differences"


# --- The command --------------------------------------------------------------------------------------------------


def installed() -> Path:
    """Return the folder of the installed SDK, without importing it.

    Raises:
        UnreadableError: there is none.
    """
    found = importlib.util.find_spec("scoutos")
    if found is None or found.origin is None:
        raise UnreadableError("scoutos is not installed; scripts/setup dev installs it")
    return Path(found.origin).parent


def version(folder: Path) -> str:
    """Return the version of the SDK in a folder, by the folder that an installer puts beside it."""
    return next(
        (each.name.split("-")[1].removesuffix(".dist") for each in folder.parent.glob("scoutos-*.dist-info")), ""
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="scripts/drift", description="Compare openapi.yaml with the vendor's SDK.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--sdk", type=Path, metavar="FOLDER", help="compare with the package `scoutos` that is here")
    which.add_argument(
        "--latest", action="store_true", help="compare with the newest version, installed for this alone"
    )
    which.add_argument("--live", action="store_true", help="compare with the API: two small runs, which may cost money")
    parser.add_argument("--yes", action="store_true", help="do not ask before the two runs of --live")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the answers of --live to this folder")
    options = parser.parse_args(arguments)
    if not options.live and (options.yes or options.keep):
        parser.error("--yes and --keep are for --live")
    with tempfile.TemporaryDirectory() as scratch:
        try:
            spec = json.loads(SPEC.read_text("utf-8"))
            if options.live:
                import _drift_live  # loads an HTTP library

                return _drift_live.main(spec, yes=options.yes, keep=options.keep)
            if options.latest:
                pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", scratch, "scoutos"]
                if subprocess.run(pip, check=False).returncode:
                    raise UnreadableError("the newest scoutos could not be installed")
                folder = Path(scratch) / "scoutos"
            else:
                folder = options.sdk or installed()
                if (folder / "scoutos").is_dir():
                    folder /= "scoutos"
            faults, summary = drift(folder, spec, tomllib.loads(ACCEPTED.read_text("utf-8")))
        except UnreadableError as problem:
            print(f"drift: {problem}", file=sys.stderr)
            return 2
        for each in faults:
            print(each)
        print(f"drift: scoutos {version(folder) or folder}: {summary}, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

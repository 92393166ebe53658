"""The command `scout workflows`: stored workflows."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from scout.cli import _checks, _connection, _environments, _execution, _exits, _references, _storing
from scout.cli._references import reference
from scout.cli._spelling import filled
from scout.cli._table import Table, plain, time_of, up_to
from scout.cli._terminal import agrees, answer, answer_array, answer_json, as_json, can_ask, talk

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Mapping

    from scout import Scout, StoredWorkflow, WorkflowEnvironment, Workflows

    _Change = Callable[[str], tuple[str, dict[str, Any]]]

DESCRIPTION = """\
Manage and run stored workflows. Use --json in programs: tables and messages may
change.

examples:
  scout workflows deploy workflow.yml --key hello
  scout workflows list --query hello
  scout workflows pull wf_0011223344556677 -o workflow.yml
  scout workflows run hello --input user_message=Hi
  scout workflows set-environment hello production rev_8899aabb
"""

_LONGEST_NAME = 100  # bytes; file systems allow 255


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    each = _action(actions.add_parser, "list", "list the stored workflows", _list, "--query hello", "--limit 10 --json")
    group = each.add_argument_group("which")
    group.add_argument("--query", metavar="WORDS", help="only workflows that the server finds by these words")
    group.add_argument("--tags", metavar="TAGS", help="only workflows with these tags, as one text")
    group.add_argument("--sort", metavar="FIELD", help="the field to sort by, such as created_at")
    group.add_argument("--direction", metavar="asc|desc", help="the direction to sort in")
    group.add_argument("--limit", type=int, metavar="N", help="the maximum number of workflows")
    group.add_argument(
        "--start-at", metavar="CURSOR", help="the cursor at which to begin, for example from an error message"
    )
    _exits.add_json(each, "print a JSON array, with one workflow per line")

    each = _action(actions.add_parser, "get", "show a stored workflow", _get, _ID, f"{_ID} --json")
    _references.add_id(each)
    _exits.add_json(each, "print the whole workflow as one JSON object")

    each = _action(
        actions.add_parser,
        "pull",
        "save a stored workflow as a file",
        _pull,
        f"{_ID} -o workflow.yml",
        f"{_ID} -o workflow.json",
    )
    _references.add_id(each)
    group = each.add_argument_group("output")
    group.add_argument("-o", "--output", metavar="FILE", help="the file, .yml or .json (default: named after the key)")
    group.add_argument("--overwrite", action="store_true", help="replace an existing file")

    what = "store a file: as a new workflow, or as a new revision if it changed"
    each = _action(actions.add_parser, "deploy", what, _deploy, "workflow.yml", "workflow.yml --key hello")
    each.add_argument("file", metavar="FILE", help="the workflow, as YAML or JSON")
    each.add_argument("--key", metavar="KEY", help="the key to store it under (default: workflow_key in the file)")
    each.add_argument("--force", action="store_true", help="store a revision even if nothing changed")
    _exits.add_json(each, "print the result as one JSON object")
    _checks.add_argument(each)

    what = "delete a stored workflow and its revisions"
    each = _action(actions.add_parser, "delete", what, _delete, _ID, f"{_ID} --yes")
    _references.add_id(each)
    _add_change(each)

    what = "list the revisions of a workflow, and the environments that run each"
    each = _action(actions.add_parser, "revisions", what, _revisions, "hello", "hello --json")
    _references.add_id(each)
    _exits.add_json(each, "print a JSON array, with one revision per line")

    what = "give a revision a name"
    examples = f"hello {_REVISION} shorter", f"hello {_REVISION} shorter --description 'asks for one sentence'"
    each = _action(actions.add_parser, "rename-revision", what, _rename, *examples)
    _references.add_id(each)
    _add_revision(each)
    each.add_argument("name", metavar="NAME", help="its new name")
    each.add_argument("--description", metavar="TEXT", help="what is new in it")
    _exits.add_json(each, "print the result as one JSON object")

    what = "delete a revision"
    examples = f"hello {_REVISION}", f"hello {_REVISION} --yes"
    each = _action(actions.add_parser, "delete-revision", what, _delete_revision, *examples)
    _references.add_id(each)
    _add_revision(each)
    _add_change(each)

    what = "show what each environment of a workflow runs"
    each = _action(actions.add_parser, "environments", what, _environments_of, "hello", "hello --json")
    _references.add_id(each)
    _exits.add_json(each, "print a JSON array, with one environment per line")

    what = "set what an environment runs: a revision, or always the newest one"
    each = _action(
        actions.add_parser,
        "set-environment",
        what,
        _set,
        f"hello production {_REVISION}",
        "hello development latest --yes",
    )
    _references.add_id(each)
    each.add_argument(
        "environment",
        metavar="ENVIRONMENT",
        type=_environments.any_of_them,
        help="the environment: production, staging or development, or its id",
    )
    _add_revision(each, "the id of the revision, or latest: always the newest one")
    _add_change(each)

    what = "promote a revision, as the API does, without the name of an environment; see `scout promote`"
    each = _action(actions.add_parser, "promote", what, _promote, *examples)
    each.description = f"{each.description}\n\n{_NOT_DOCUMENTED}"
    _references.add_id(each)
    _add_revision(each)
    _add_change(each)

    what = "run a stored workflow and print its output"
    description = _description("run", what, f"{_ID} --input user_message=Hi", f"{_ID} --inputs inputs.yml --stream")
    each = actions.add_parser("run", help=what, description=description)
    _references.add_id(each)
    _execution.add_arguments(each)
    _connection.add_base_url(each)
    _connection.add_arguments(each)
    each.add_argument_group("connection").add_argument(
        "--resolve",
        type=float,
        metavar="SECONDS",
        help="when the connection breaks after the run may have started: how long to ask the log for its result, "
        "without --stream, --timeline and --session-id (default: not at all)",
    )
    _connection.add_cassettes(each)
    each.set_defaults(handler=_run)


_ID = "wf_0011223344556677"  # of the examples
_REVISION = "rev_8899aabb"
_NOT_DOCUMENTED = """\
It is not documented which environments run a revision that is promoted in this way: look with `scout workflows
environments`. `scout promote` and `scout workflows set-environment` change the environment that they are given."""


def _add_revision(parser: argparse.ArgumentParser, what: str = "the id of the revision") -> None:
    parser.add_argument("revision", metavar="REVISION", type=filled, help=what)


def _add_change(parser: argparse.ArgumentParser) -> None:
    """Add the options of an action that asks."""
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    _exits.add_json(parser, "print the result as one JSON object")


def _description(name: str, what: str, *examples: str) -> str:
    lines = [f"  scout workflows {name} {example}" for example in examples]
    return "\n".join([f"{what[0].upper()}{what[1:]}.", "", "examples:", *lines])


def _action(
    add_parser: Callable[..., argparse.ArgumentParser],
    name: str,
    what: str,
    handler: Callable[[Workflows, argparse.Namespace], int],
    *examples: str,
) -> argparse.ArgumentParser:
    def handle(args: argparse.Namespace) -> int:
        from scout import ScoutError

        try:
            with _connection.connected(lambda: _connection.connect(args)) as client:
                return handler(client.workflows, args)
        except ScoutError as error:
            return _storing.explain(error)

    parser = add_parser(name, help=what, description=_description(name, what, *examples))
    for title in ("which", "output"):  # before the connection, in the help
        parser.add_argument_group(title)
    _connection.add_base_url(parser)
    _connection.add_arguments(parser)
    parser.set_defaults(handler=handle, action=name)
    return parser


# --- Actions ------------------------------------------------------------------------------------------------------


def _list(workflows: Workflows, args: argparse.Namespace) -> int:
    names = ("query", "tags", "sort", "direction", "limit", "start_at")
    pages = workflows.list(**_connection.given(args, *names)).pages()
    found = up_to(args.limit, (page.workflows for page in pages))
    if args.json:
        answer_array(each.raw for several in found for each in several)
        return _exits.DONE
    table = Table("ID", "KEY", "UPDATED", "NAME")
    for several in found:
        table.add(map(_row, several))
    if not table.has_rows:
        talk("there are no workflows" if args.query is None and args.tags is None else "no workflow matches")
    return _exits.DONE


def _get(workflows: Workflows, args: argparse.Namespace) -> int:
    workflow = workflows.get(reference(args.id), **_connection.given(args))
    if args.json:
        answer_json(workflow.raw)
        return _exits.DONE
    workflow_id, key, updated, name = _row(workflow)
    facts = {
        "id": workflow_id,
        "key": key,
        "name": name,
        "revision": plain(workflow.revision_id) + (" (a draft)" if workflow.is_draft is True else ""),
        "created": time_of(workflow.created_at or workflow.raw.get("created_at")),
        "updated": updated,
        "blocks": ", ".join(map(plain, _block_ids(workflow))),
    }
    for label, fact in facts.items():
        answer(f"{label:<9} {fact}".rstrip())
    return _exits.DONE


def _pull(workflows: Workflows, args: argparse.Namespace) -> int:
    from scout import save_workflow

    if args.output is not None:
        _check_output(args.output, args)
    workflow = workflows.get(reference(args.id), **_connection.given(args))
    name = _file_name(workflow) if args.output is None else args.output
    _check_output(name, args)
    save_workflow(workflow, name, overwrite=args.overwrite, formatted=True)
    talk(f"saved revision {workflow.revision_id}{' (a draft)' if workflow.is_draft is True else ''}")
    answer(name)
    return _exits.DONE


def _check_output(name: str, args: argparse.Namespace) -> None:
    if name in ("", "-"):
        raise _exits.UsageError(f"-o needs the name of a file, not {name!r}")
    if not args.overwrite and Path(name).is_file():
        raise _exits.UsageError(f"{name} exists already; --overwrite replaces it, and -o names another file")


def _deploy(workflows: Workflows, args: argparse.Namespace) -> int:
    from scout import UnprocessableEntityError, load_workflow

    loaded = load_workflow(args.file, require_fields=True)
    _checks.passed(loaded, args)
    try:
        with _exits.interrupts_say(_storing.INTERRUPTED):
            done = workflows.deploy(loaded, key=args.key, force=args.force, **_connection.given(args))
    except UnprocessableEntityError as error:
        return _storing.explain(error, loaded)
    if args.json:
        facts = {name: getattr(done, name) for name in ("workflow_id", "revision_id", "created", "changed")}
        answer(as_json(facts | {"workflow_key": done.workflow.key or None}), json=True)
    else:
        what = "created" if done.created else "a new revision of" if done.changed else "nothing changed in"
        answer(plain(f"{what} {done.workflow_id}, revision {done.revision_id}"))
    return _exits.DONE


def _delete(workflows: Workflows, args: argparse.Namespace) -> int:
    def change(workflow_id: str) -> tuple[str, dict[str, Any]]:
        said = workflows.delete(workflow_id, **_connection.given(args))
        return said or f"deleted {workflow_id}", {"deleted": True, "detail": said}

    def ask(workflow: StoredWorkflow) -> bool:
        workflow_id, key, _, name = _row(workflow)
        which = " ".join(filter(None, [workflow_id, key, name]))
        return agrees(f"delete {which} and its revisions?")

    return _change(workflows, args, ask, change)


# --- Revisions and environments -----------------------------------------------------------------------------------


def _revisions(workflows: Workflows, args: argparse.Namespace) -> int:
    options = _connection.given(args)
    workflow_id = reference(args.id)
    if args.json:
        answer_array(each.raw for each in workflows.revisions(workflow_id, **options))
        return _exits.DONE
    stored = workflows.get(workflow_id, **options)
    live = _environments.read(workflows, stored, options)
    table = Table("REVISION", "UPDATED", "RUNS IN", "NAME")
    table.add(
        (
            plain(each.revision_id),
            _updated(each),
            plain(", ".join(live.that_run(each.revision_id))),
            plain(each.raw.get("name") or None),
        )
        for each in workflows.revisions(stored.id, **options)
    )
    if not table.has_rows:
        talk("there are no revisions")
    return _exits.DONE


def _rename(workflows: Workflows, args: argparse.Namespace) -> int:
    def change(workflow_id: str) -> tuple[str, dict[str, Any]]:
        workflows.rename_revision(workflow_id, args.revision, args.name, **_connection.given(args, "description"))
        return f"renamed {args.revision}", {"revision_id": args.revision, "name": args.name}

    return _change(workflows, args, None, change)


def _environments_of(workflows: Workflows, args: argparse.Namespace) -> int:
    options = _connection.given(args)
    workflow_id = reference(args.id)
    if args.json:
        answer_array(each.raw for each in workflows.environments(workflow_id, **options))
        return _exits.DONE
    live = _environments.read(workflows, workflows.get(workflow_id, **options), options)
    table = Table("ENVIRONMENT", "UPDATED", "BY", "RUNS")
    table.add(
        (plain(name), _updated(each), plain(_environments.author(each.raw)), plain(live.text(name)))
        for name, each in live.by_name.items()
    )
    return _exits.DONE


def _set(workflows: Workflows, args: argparse.Namespace) -> int:
    is_latest = args.revision == "latest"
    which: dict[str, Any] = {"latest": True} if is_latest else {"revision_id": args.revision}
    what = "the newest revision, always" if is_latest else args.revision
    facts = {
        "environment": args.environment,
        "revision_id": None if is_latest else args.revision,
        "follows_latest": is_latest,
    }

    def change(workflow_id: str) -> tuple[str, dict[str, Any]]:
        workflows.set_environment(workflow_id, args.environment, **which, **_connection.given(args))
        return f"{args.environment} runs {what}", facts

    return _change_live(workflows, args, f"make {args.environment} of {{}} run {what}?", change)


def _delete_revision(workflows: Workflows, args: argparse.Namespace) -> int:
    def change(workflow_id: str) -> tuple[str, dict[str, Any]]:
        said = workflows.delete_revision(workflow_id, args.revision, **_connection.given(args))
        return said or f"deleted {args.revision}", {"revision_id": args.revision, "deleted": True, "detail": said}

    return _change_live(workflows, args, f"delete revision {args.revision} of {{}}?", change)


def _promote(workflows: Workflows, args: argparse.Namespace) -> int:
    def change(workflow_id: str) -> tuple[str, dict[str, Any]]:
        workflows.promote(workflow_id, args.revision, **_connection.given(args))
        return f"promoted {args.revision}", {"revision_id": args.revision, "promoted": True}

    return _change_live(workflows, args, f"promote revision {args.revision} of {{}}?", change)


def _change_live(workflows: Workflows, args: argparse.Namespace, question: str, change: _Change) -> int:
    """Make a change as `_change` does. Before the question, which has `{}` for the workflow, show what runs."""

    def ask(stored: StoredWorkflow) -> bool:
        live = _environments.read(workflows, stored, _connection.given(args))
        for name in live.by_name:
            talk(f"{name} runs {live.text(name)}")
        return agrees(question.format(" ".join(filter(None, [plain(stored.id), plain(stored.key)]))))

    return _change(workflows, args, ask, change)


def _change(
    workflows: Workflows, args: argparse.Namespace, ask: Callable[[StoredWorkflow], bool] | None, change: _Change
) -> int:
    """Ask, make a change, and print the result.

    Args:
        workflows: The stored workflows.
        args: The arguments of the action.
        ask: Asks whether the change of a workflow is to be made; `None` for a change that needs no question.
        change: Makes the change of the workflow with an id, and returns a message, and the facts for `--json`.
    """
    if ask is not None and args.yes:
        ask = None
    if ask is not None and not can_ask():
        raise _exits.UsageError(f"{args.action} asks on a terminal; elsewhere it needs --yes")
    workflow_id = reference(args.id)
    if ask is not None or workflow_id.startswith("key:"):
        stored = workflows.get(workflow_id, **_connection.given(args))
        if ask is not None and not ask(stored):
            raise _exits.UsageError("nothing was changed")
        workflow_id = stored.id  # the workflow that is shown is changed, whichever has the key by then
    with _exits.interrupts_say(_storing.INTERRUPTED):
        message, facts = change(workflow_id)
    if args.json:
        answer(as_json({"workflow_id": workflow_id, **facts}), json=True)
    else:
        answer(plain(message))
    return _exits.DONE


def _run(args: argparse.Namespace) -> int:
    def stored(client: Scout) -> Workflows:
        return client.workflows

    def connect() -> Scout:
        return _connection.connect(args, transport=_connection.transport(args))

    if args.resolve is None:
        if args.session_id is None and args.record is None and args.replay is None:
            args.session_id = f"scout-cli-{uuid.uuid4().hex}"  # so that a run can be found after Ctrl-C
    elif args.stream or args.timeline is not None or args.session_id is not None:
        raise _exits.UsageError(
            "--resolve goes without --stream, --timeline and --session-id: those need `scout runs find`"
        )
    return _execution.carry_out(args, lambda: reference(args.id), connect, stored, "resolve")


# --- Output -------------------------------------------------------------------------------------------------------


def _row(workflow: StoredWorkflow) -> tuple[str, str, str, str]:
    """Return id, key, time of the last change, and name: empty for a missing value, unexpected values unchanged."""
    return (
        plain(workflow.id),
        plain(workflow.raw.get("workflow_key") or None),
        _updated(workflow),
        plain(workflow.config.get("workflow_display_name") or None),
    )


def _updated(stored: StoredWorkflow | WorkflowEnvironment) -> str:
    """Return the time of the last change, and whether it is a draft."""
    time = time_of(stored.last_updated_at or stored.raw.get("last_updated_at"))
    return time + (" (draft)" if getattr(stored, "is_draft", None) is True else "")


def _block_ids(workflow: StoredWorkflow) -> list[object]:
    blocks: Any = workflow.config.get("blocks")
    if not isinstance(blocks, list):
        return []
    found = cast("Iterable[Any]", blocks)
    return [cast("Mapping[str, Any]", block).get("block_id") for block in found if isinstance(block, dict)]


def _file_name(workflow: StoredWorkflow) -> str:
    """Return the name of a file in this folder for a workflow, whatever its key contains."""
    name = re.sub(r"[^\w.-]+", "-", plain(workflow.key or workflow.id)).strip(".-")
    short = name.encode()[:_LONGEST_NAME].decode(errors="ignore")
    return f"{short or 'workflow'}.yml"

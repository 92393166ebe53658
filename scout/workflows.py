"""Stored workflows: `scout.workflows`. `Workflows` and `AsyncWorkflows` differ only in the `await`."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar, Unpack

import scout  # its names are imported when they are first used, which only `typing.get_type_hints` does here

from ._answers import (
    read_any_run,
    read_deletion,
    read_environments,
    read_page,
    read_revision,
    read_revisions,
    read_workflow,
)
from ._deployments import Deployments
from ._http import AsyncBody, AsyncHttp, Http
from ._keys import key_in, only
from ._options import RUN_OPTIONS, CallOptions, RunOptions, apply_options
from ._plans import AsyncPagedList, PagedList, Plan, Prepared, carry_out, carry_out_async, done, reword
from ._requests import (
    Request,
    create_request,
    delete_request,
    delete_revision_request,
    environments_request,
    execute_stored_request,
    get_request,
    list_request,
    promote_request,
    rename_revision_request,
    revision_request,
    revisions_request,
    update_request,
)
from .environments import Environment
from .errors import ConfigurationError, NotFoundError
from .results import Deployment, Run, StoredWorkflow, WorkflowEnvironment, WorkflowPage
from .runs import check_resolve, resolving
from .workflow_files import WorkflowSource, load_workflow

__all__ = ["AsyncWorkflowList", "AsyncWorkflows", "WorkflowList", "Workflows"]


class WorkflowList(PagedList[WorkflowPage, StoredWorkflow]):
    """Iterator over stored workflows. Each page is requested when it is needed.

    After an error, the next step requests the same page again, so that a loop can continue. (After an invalid cursor,
    each further step raises the same error.)

    Raises:
        APIError: the request of a page failed; the message has the number of the page and its `start_at`.
    """

    def _items_of(self, page: WorkflowPage) -> list[StoredWorkflow]:
        return page.workflows


class AsyncWorkflowList(AsyncPagedList[WorkflowPage, StoredWorkflow]):
    """Asynchronous iterator over stored workflows. As `WorkflowList`."""

    def _items_of(self, page: WorkflowPage) -> list[StoredWorkflow]:
        return page.workflows


# --- Calls --------------------------------------------------------------------------------------------------------

HttpT = TypeVar("HttpT")
T = TypeVar("T")


class _Workflows(Deployments[HttpT]):
    """The part of `Workflows` that needs no I/O."""

    def _run(
        self, id: str, inputs: Mapping[str, Any] | None, options: RunOptions, *, streaming: bool
    ) -> Plan[Prepared]:
        def prepare(found: str) -> Prepared:
            begun = time.monotonic()
            config, parts = apply_options(self._settings(), options, RUN_OPTIONS)
            request = execute_stored_request(
                found, inputs, environment=config.environment, streaming=streaming, **parts
            )
            return Prepared(request, config, partial(read_any_run, workflow=None), begun)

        return self._to(id, options, prepare)

    def _execute(
        self, id: str, inputs: Mapping[str, Any] | None, options: RunOptions, *, check: bool, resolve: float | None
    ) -> Plan[Run]:
        if resolve is not None:
            check_resolve(resolve, options)
        prepared = yield from self._run(id, inputs, options, streaming=False)
        run: Run
        if resolve is None:
            run = yield prepared
        else:
            extra_headers = options.get("extra_headers", {})
            run = yield from resolving(prepared, resolve, check=check, extra_headers=extra_headers)
        if check:
            run.raise_for_status()
        return run

    def _create(self, workflow: WorkflowSource, key: str | None, options: CallOptions) -> Prepared:
        begun = time.monotonic()
        loaded = load_workflow(workflow)
        make = partial(create_request, loaded, key if key is not None else loaded.key)
        return self._call(make, read_workflow, options, begun)

    def _revise(self, workflow: WorkflowSource, id: str | None, key: str | None, options: CallOptions) -> Prepared:
        begun = time.monotonic()
        loaded = load_workflow(workflow)
        workflow_id = id
        if key is None and (key := key_in(id)) is not None:
            workflow_id = None  # the API itself finds the workflow of a revision by its key
        if workflow_id is None and key is None:
            key = loaded.key
        if (workflow_id is None) == (key is None):
            raise ConfigurationError(
                "give either id= or key= to say which workflow gets the revision, "
                + ("not both" if workflow_id is not None else "or put workflow_key into the file")
            )
        return self._call(
            partial(revision_request, loaded, workflow_id=workflow_id, key=key), read_workflow, options, begun
        )

    def _update(self, id: str, workflow: WorkflowSource, options: CallOptions) -> Plan[StoredWorkflow]:
        begun = time.monotonic()
        make = partial(update_request, workflow=load_workflow(workflow))
        return self._at(id, make, read_workflow, options, begun)

    def _delete(self, id: str, make: Callable[..., Request], options: CallOptions) -> Plan[str]:
        try:
            return (yield from self._at(id, make, read_deletion, options))
        except NotFoundError as error:
            if len(error.attempts) > 1:
                reword(error, f"{error.message}; an earlier attempt of this call may have deleted it")
            raise

    def _find(self, keys: Iterable[str], options: CallOptions) -> Plan[dict[str, StoredWorkflow]]:
        if isinstance(keys, str):
            raise ConfigurationError("keys must be several texts, such as a list, and not one text")
        begun = time.monotonic()
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            self._call(partial(list_request, query=key), read_page, options, begun)  # so that a bad key raises here
        return self._all_with(wanted, options, begun)

    def _all_with(self, keys: list[str], options: CallOptions, begun: float) -> Plan[dict[str, StoredWorkflow]]:
        found = yield from self._search(keys, options, begun, "the workflows with these keys")
        return {key: only(key, found.workflows[key]) for key in keys if key in found.workflows}


class Workflows(_Workflows[Http]):
    """Stored workflows: the methods of `Scout.workflows`. Configs are sent and returned unchanged.

    Every parameter `id` takes the id of a workflow, or `key:NAME` for the workflow with the key NAME, which is found in
    the lists first. `NotFoundError` is raised when no workflow has exactly this key, and `ConfigurationError` when
    several have it.

    Every method accepts the options of `CallOptions` (or `RunOptions`) as well. The requests of `create`,
    `create_revision` and runs are repeated only when it is certain that the server did nothing; all others, those that
    search for a key included, after any transient failure. These searches, and the reads of `set_environment`, use
    `timeout`, `deadline` (for all requests together), `retries` and `extra_headers`.

    Revisions and environments are known from version 12.3.0 of the vendor's SDK, and from the pages "environments" and
    "history" of its documentation.
    """

    def _carry_out(self, plan: Plan[T]) -> T:
        return carry_out(self._http, plan)

    def list(
        self,
        *,
        query: str | None = None,
        sort: str | None = None,
        direction: str | None = None,
        tags: str | None = None,
        limit: int | None = None,
        start_at: str | None = None,
        **options: Unpack[CallOptions],
    ) -> WorkflowList:
        """Return an iterator over all stored workflows.

        Source: https://docs.scoutos.com, "List all workflows".

        Args:
            query: Words to search for.
            sort: The field to sort by, such as `created_at`.
            direction: `asc` or `desc`.
            tags: Tags that the workflows have, as one text.
            limit: The number of workflows per page, 1 or more; by default the server decides.
            start_at: The `next_cursor` of the page after which to begin.
            **options: See `CallOptions`. `deadline` applies to each page.

        Raises:
            ConfigurationError: an argument is invalid; nothing was sent. See `WorkflowList` for later errors.
        """
        filters: dict[str, Any] = {"query": query, "sort": sort, "direction": direction, "tags": tags, "limit": limit}
        walk = self._walk(start_at, options, **filters)
        return WorkflowList(self._http, lambda: done(walk()))

    def get(self, id: str, **options: Unpack[CallOptions]) -> StoredWorkflow:
        """Return the newest saved state of a workflow.

        Source: https://docs.scoutos.com, "Get a workflow by ID".

        Raises:
            NotFoundError: the workflow does not exist.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._at(id, get_request, read_workflow, options))

    def find(self, keys: Iterable[str], **options: Unpack[CallOptions]) -> dict[str, StoredWorkflow]:
        """Return the workflows with some keys, by key. A key that no workflow has is left out.

        Up to five keys are searched one by one. For more, all workflows are gone through once.

        Args:
            keys: The keys, to the letter.
            **options: See `CallOptions`. `deadline` applies to all requests together.

        Raises:
            ConfigurationError: a key is invalid, and nothing was sent; or several workflows have it.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._find(keys, options))

    def create(
        self, workflow: WorkflowSource, *, key: str | None = None, **options: Unpack[CallOptions]
    ) -> StoredWorkflow:
        """Store a new workflow, and return it. What its environments run is up to the server.

        Source: https://docs.scoutos.com, "Create a new workflow".

        Args:
            workflow: As for `Scout.execute`.
            key: A name of your choice, unique among your workflows; by default the `workflow_key` in the file, if any.
            **options: See `CallOptions`.

        Raises:
            ConflictError: another workflow has the key.
            WorkflowFileError: the workflow cannot be read; nothing was sent.
            ScoutError: as `Scout.execute`. `run_may_have_started` is `True` when the workflow may have been created.
        """
        stored: StoredWorkflow = self._http.call(*self._create(workflow, key, options))
        return stored

    def update(self, id: str, workflow: WorkflowSource, **options: Unpack[CallOptions]) -> StoredWorkflow:
        """Save a config as the newest state of a workflow, as the editor does, and return the workflow.

        It runs in no environment but `console`; use `deploy` or `create_revision` for a new revision.
        Source: https://docs.scoutos.com, "Update a workflow".

        Raises:
            NotFoundError: the workflow does not exist.
            WorkflowFileError: the workflow cannot be read; nothing was sent.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._update(id, workflow, options))

    def delete(self, id: str, **options: Unpack[CallOptions]) -> str:
        """Delete a workflow and its revisions, and return the message of the server.

        Source: https://docs.scoutos.com, "Delete a workflow".

        Raises:
            NotFoundError: the workflow does not exist. When an earlier attempt of this call may have deleted it, the
                message says so.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._delete(id, delete_request, options))

    def create_revision(
        self,
        workflow: WorkflowSource,
        *,
        id: str | None = None,
        key: str | None = None,
        **options: Unpack[CallOptions],
    ) -> StoredWorkflow:
        """Store a new revision of a workflow, and return the workflow.

        The revision runs at once in all environments that follow the newest one (see `environments`), and in no other.
        Source: https://docs.scoutos.com, "Create a new workflow revision".

        Args:
            workflow: As for `Scout.execute`.
            id: The id of the workflow, or `key:NAME`, which is the same as `key`. Pass either `id` or `key`.
            key: The key of the workflow; without `id` and `key`, the `workflow_key` in the file.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: the workflow does not exist.
            ScoutError: as `create`.
        """
        stored: StoredWorkflow = self._http.call(*self._revise(workflow, id, key, options))
        return stored

    def revisions(self, id: str, **options: Unpack[CallOptions]) -> builtins.list[StoredWorkflow]:
        """Return a workflow in each of its revisions, in the order in which the server gives them.

        The order is not documented, nor whether drafts are among them (see `StoredWorkflow.is_draft`).

        Raises:
            NotFoundError: the workflow does not exist.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._at(id, revisions_request, read_revisions, options))

    def rename_revision(
        self,
        id: str,
        revision_id: str,
        name: str,
        *,
        description: str | None = None,
        **options: Unpack[CallOptions],
    ) -> StoredWorkflow | None:
        """Give a revision a name, and return the workflow in this revision; `None` when the server does not tell it.

        What the revision does stays as it is, and so does what each environment runs.

        Args:
            id: The workflow.
            revision_id: The revision.
            name: The name.
            description: What is new in the revision; by default none is sent.
            **options: See `CallOptions`.

        Raises:
            NotFoundError: the workflow or the revision does not exist.
            ScoutError: as `Scout.execute`.
        """
        make = partial(rename_revision_request, revision_id=revision_id, name=name, description=description)
        return self._carry_out(self._at(id, make, read_revision, options))

    def delete_revision(self, id: str, revision_id: str, **options: Unpack[CallOptions]) -> str:
        """Delete a revision, and return the message of the server.

        What an environment runs whose revision is deleted is not documented: see `environments` first.

        Raises:
            NotFoundError: the workflow or the revision does not exist. When an earlier attempt of this call may have
                deleted it, the message says so.
            ScoutError: as `Scout.execute`.
        """
        make = partial(delete_revision_request, revision_id=revision_id)
        return self._carry_out(self._delete(id, make, options))

    def promote(self, id: str, revision_id: str, **options: Unpack[CallOptions]) -> StoredWorkflow | None:
        """Promote a revision, and return the workflow in this revision; `None` when the server does not tell it.

        Which environments run the revision after this is not documented: look at `environments`. `set_environment` says
        exactly what changes.

        Raises:
            NotFoundError: the workflow or the revision does not exist.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._at(id, partial(promote_request, revision_id=revision_id), read_revision, options))

    def environments(self, id: str, **options: Unpack[CallOptions]) -> builtins.list[WorkflowEnvironment]:
        """Return the environments of a workflow, and what each of them runs.

        Every workflow has three: development, staging and production.

        Raises:
            NotFoundError: the workflow does not exist.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._at(id, environments_request, read_environments, options))

    def set_environment(
        self,
        id: str,
        environment: Environment | str,
        *,
        revision_id: str | None = None,
        latest: bool = False,
        **options: Unpack[CallOptions],
    ) -> None:
        """Set what an environment of a workflow runs: one revision, or always the newest.

        This is live at once, for all requests to the environment, and changes no other. The environment is read first,
        because its name and its description have to be sent back: a change of those in between is lost.

        Args:
            id: The workflow.
            environment: The name of the environment, or its id. A name is compared exactly first, and then without
                regard to case.
            revision_id: The revision to run. It stays there, whatever is deployed afterwards.
            latest: Run the newest revision, also when a newer one is made. Pass either this or `revision_id`.
            **options: See `CallOptions`. `deadline` applies to all requests together.

        Raises:
            ConfigurationError: an argument is invalid, and nothing was sent; or several environments have the name, and
                nothing was changed.
            NotFoundError: the workflow, the environment or the revision does not exist.
            APIResponseError: the server answered that it was not done.
            ScoutError: as `Scout.execute`.
        """
        self._carry_out(self._set_environment(id, environment, revision_id, latest, options))

    def deploy(
        self,
        workflow: WorkflowSource,
        *,
        key: str | None = None,
        force: bool = False,
        environment: Environment | str | None = None,
        **options: Unpack[CallOptions],
    ) -> Deployment:
        """Store a config under a key: as a new workflow, or as a new revision if it differs from the newest one.

        Without `environment`, a new revision runs at once in all environments that follow the newest one, and in no
        other. Simultaneous deployments of one key create one workflow.

        With `environment`, nothing is done when that runs the same already, and it is only set when the newest revision
        is the same. Otherwise a new revision runs there and nowhere else. Other environments that follow the newest
        revision are first set to the one that they run now (`Deployment.pinned`). Then the revision is stored, and the
        environment is set to it. All of them stay at these revisions until they are set again, and
        `set_environment(latest=True)` makes one follow the newest. What the other environments of a new workflow run is
        decided by the server. After an error, which says what was done until then, the same call goes on from there.
        Meanwhile, no other program may deploy the same workflow or set its environments.

        Args:
            workflow: As for `Scout.execute`.
            key: The key of the workflow; by default the `workflow_key` in the file.
            force: Store a revision even if the config has not changed.
            environment: The environment in which the revision is to run: `development`, `staging` or `production`. That
                of the client is for runs, and does not count here.
            **options: See `CallOptions`. `deadline` applies to all calls together.

        Raises:
            ConfigurationError: the key is missing, or the environment is none of the three; nothing was sent.
            WorkflowFileError: the workflow cannot be read, or has none of the fields of a workflow; nothing was sent.
            APIResponseError: the server does not tell what another environment runs now, and nothing was changed.
            ScoutError: as `create`.
        """
        return self._carry_out(self._deploy(workflow, key, options, force=force, environment=environment))

    def execute(
        self,
        id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        resolve: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Run a stored workflow and wait for its result. As `Scout.execute`, with an id instead of a config.

        The run is sent once, after the search for a key. Source: https://docs.scoutos.com, "Execute a workflow".

        Args:
            id: The workflow.
            inputs: As for `Scout.execute`.
            check: As for `Scout.execute`.
            resolve: After an outcome that is unknown, such as a connection that broke, ask the run logs for up to so
                many seconds, within `deadline`. A run that has completed is returned, with the log as its `raw`; one
                that has failed is treated as `check` says. Otherwise the error is raised as without `resolve`, and a
                note of it (`__notes__`) says what the logs said. The run is never sent again. Not together with
                `session_id`, because the logs cannot tell the runs of one session apart.
            **options: See `RunOptions`.

        Raises:
            NotFoundError: the workflow or the revision does not exist.
            ScoutError: as `Scout.execute`.
        """
        return self._carry_out(self._execute(id, inputs, options, check=check, resolve=resolve))

    def stream(
        self,
        id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        max_event_bytes: int | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.RunStream:
        """Run a stored workflow and stream its events. As `Scout.stream`, with an id instead of a config."""
        from .streaming import RunStream, new_progress  # importing the event classes is slow

        plan = self._run(id, inputs, options, streaming=True)
        progress = new_progress(None, check=check, max_event_bytes=max_event_bytes)
        request, config, _, begun = self._carry_out(plan)
        progress.sends(request)
        return RunStream(self._http.stream(request, config, begun), progress)


class AsyncWorkflows(_Workflows[AsyncHttp]):
    """Stored workflows, from asyncio. Arguments and methods are those of `Workflows`."""

    async def _carry_out(self, plan: Plan[T]) -> T:
        return await carry_out_async(self._http, plan)

    def list(
        self,
        *,
        query: str | None = None,
        sort: str | None = None,
        direction: str | None = None,
        tags: str | None = None,
        limit: int | None = None,
        start_at: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncWorkflowList:
        """Return an asynchronous iterator over all stored workflows. As `Workflows.list`."""
        filters: dict[str, Any] = {"query": query, "sort": sort, "direction": direction, "tags": tags, "limit": limit}
        walk = self._walk(start_at, options, **filters)
        return AsyncWorkflowList(self._http, lambda: done(walk()))

    async def get(self, id: str, **options: Unpack[CallOptions]) -> StoredWorkflow:
        """Return the newest saved state of a workflow. As `Workflows.get`."""
        return await self._carry_out(self._at(id, get_request, read_workflow, options))

    async def find(self, keys: Iterable[str], **options: Unpack[CallOptions]) -> dict[str, StoredWorkflow]:
        """Return the workflows with some keys, by key. As `Workflows.find`."""
        return await self._carry_out(self._find(keys, options))

    async def create(
        self, workflow: WorkflowSource, *, key: str | None = None, **options: Unpack[CallOptions]
    ) -> StoredWorkflow:
        """Store a new workflow. As `Workflows.create`."""
        stored: StoredWorkflow = await self._http.call(*self._create(workflow, key, options))
        return stored

    async def update(self, id: str, workflow: WorkflowSource, **options: Unpack[CallOptions]) -> StoredWorkflow:
        """Save a config as the newest state of a workflow. As `Workflows.update`."""
        return await self._carry_out(self._update(id, workflow, options))

    async def delete(self, id: str, **options: Unpack[CallOptions]) -> str:
        """Delete a workflow and its revisions. As `Workflows.delete`."""
        return await self._carry_out(self._delete(id, delete_request, options))

    async def create_revision(
        self,
        workflow: WorkflowSource,
        *,
        id: str | None = None,
        key: str | None = None,
        **options: Unpack[CallOptions],
    ) -> StoredWorkflow:
        """Store a new revision of a workflow. As `Workflows.create_revision`."""
        stored: StoredWorkflow = await self._http.call(*self._revise(workflow, id, key, options))
        return stored

    async def revisions(self, id: str, **options: Unpack[CallOptions]) -> builtins.list[StoredWorkflow]:
        """Return a workflow in each of its revisions. As `Workflows.revisions`."""
        return await self._carry_out(self._at(id, revisions_request, read_revisions, options))

    async def rename_revision(
        self,
        id: str,
        revision_id: str,
        name: str,
        *,
        description: str | None = None,
        **options: Unpack[CallOptions],
    ) -> StoredWorkflow | None:
        """Give a revision a name. As `Workflows.rename_revision`."""
        make = partial(rename_revision_request, revision_id=revision_id, name=name, description=description)
        return await self._carry_out(self._at(id, make, read_revision, options))

    async def delete_revision(self, id: str, revision_id: str, **options: Unpack[CallOptions]) -> str:
        """Delete a revision. As `Workflows.delete_revision`."""
        make = partial(delete_revision_request, revision_id=revision_id)
        return await self._carry_out(self._delete(id, make, options))

    async def promote(self, id: str, revision_id: str, **options: Unpack[CallOptions]) -> StoredWorkflow | None:
        """Promote a revision. As `Workflows.promote`."""
        return await self._carry_out(
            self._at(id, partial(promote_request, revision_id=revision_id), read_revision, options)
        )

    async def environments(self, id: str, **options: Unpack[CallOptions]) -> builtins.list[WorkflowEnvironment]:
        """Return the environments of a workflow, and what each of them runs. As `Workflows.environments`."""
        return await self._carry_out(self._at(id, environments_request, read_environments, options))

    async def set_environment(
        self,
        id: str,
        environment: Environment | str,
        *,
        revision_id: str | None = None,
        latest: bool = False,
        **options: Unpack[CallOptions],
    ) -> None:
        """Set what an environment of a workflow runs. As `Workflows.set_environment`."""
        await self._carry_out(self._set_environment(id, environment, revision_id, latest, options))

    async def deploy(
        self,
        workflow: WorkflowSource,
        *,
        key: str | None = None,
        force: bool = False,
        environment: Environment | str | None = None,
        **options: Unpack[CallOptions],
    ) -> Deployment:
        """Store a config under a key. As `Workflows.deploy`."""
        return await self._carry_out(self._deploy(workflow, key, options, force=force, environment=environment))

    async def execute(
        self,
        id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        resolve: float | None = None,
        **options: Unpack[RunOptions],
    ) -> Run:
        """Run a stored workflow and wait for its result. As `Workflows.execute`."""
        return await self._carry_out(self._execute(id, inputs, options, check=check, resolve=resolve))

    def stream(
        self,
        id: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        check: bool = True,
        max_event_bytes: int | None = None,
        **options: Unpack[RunOptions],
    ) -> scout.AsyncRunStream:
        """Run a stored workflow and stream its events. As `AsyncScout.stream`, with an id instead of a config."""
        from .streaming import AsyncRunStream, new_progress  # as in Workflows.stream

        plan = self._run(id, inputs, options, streaming=True)
        progress = new_progress(None, check=check, max_event_bytes=max_event_bytes)

        async def connect() -> AsyncBody:
            request, config, _, begun = await self._carry_out(plan)
            progress.sends(request)
            return await self._http.stream(request, config, begun)

        return AsyncRunStream(connect, progress)

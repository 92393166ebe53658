from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import errors
from ...types import UNSET, Response, Unset, http_status

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.block_run_completed import BlockRunCompleted
    from ...models.block_run_failed import BlockRunFailed
    from ...models.block_run_started import BlockRunStarted
    from ...models.block_state_updated import BlockStateUpdated
    from ...models.error_body import ErrorBody
    from ...models.execute_workflow_config_request import ExecuteWorkflowConfigRequest
    from ...models.execution_environment import ExecutionEnvironment
    from ...models.http_validation_error import HttpValidationError
    from ...models.workflow_run_completed import WorkflowRunCompleted
    from ...models.workflow_run_failed import WorkflowRunFailed
    from ...models.workflow_run_response import WorkflowRunResponse
    from ...models.workflow_run_started import WorkflowRunStarted


def get_kwargs(
    *,
    body: ExecuteWorkflowConfigRequest,
    environment: ExecutionEnvironment | None | Unset = UNSET,
    revision_id: None | str | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    params: dict[str, Any] = {}

    json_environment: None | str | Unset
    if isinstance(environment, Unset):
        json_environment = UNSET
    elif isinstance(environment, str):
        json_environment = environment
    else:
        json_environment = environment
    params["environment"] = json_environment

    json_revision_id: None | str | Unset
    if isinstance(revision_id, Unset):
        json_revision_id = UNSET
    else:
        json_revision_id = revision_id
    params["revision_id"] = json_revision_id

    json_session_id: None | str | Unset
    if isinstance(session_id, Unset):
        json_session_id = UNSET
    else:
        json_session_id = session_id
    params["session_id"] = json_session_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v2/workflows/execute",
        "params": params,
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> (
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
    | None
):
    from ...models.block_run_completed import BlockRunCompleted
    from ...models.block_run_failed import BlockRunFailed
    from ...models.block_run_started import BlockRunStarted
    from ...models.block_state_updated import BlockStateUpdated
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.workflow_run_completed import WorkflowRunCompleted
    from ...models.workflow_run_failed import WorkflowRunFailed
    from ...models.workflow_run_response import WorkflowRunResponse
    from ...models.workflow_run_started import WorkflowRunStarted

    if response.status_code == 200:

        def _parse_response_200(
            data: object,
        ) -> (
            BlockRunCompleted
            | BlockRunFailed
            | BlockRunStarted
            | BlockStateUpdated
            | WorkflowRunCompleted
            | WorkflowRunFailed
            | WorkflowRunResponse
            | WorkflowRunStarted
        ):
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                response_200_type_0 = WorkflowRunResponse.from_dict(data)

                return response_200_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_0 = WorkflowRunStarted.from_dict(data)

                return componentsschemas_workflow_event_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_1 = WorkflowRunCompleted.from_dict(data)

                return componentsschemas_workflow_event_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_2 = WorkflowRunFailed.from_dict(data)

                return componentsschemas_workflow_event_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_3 = BlockRunStarted.from_dict(data)

                return componentsschemas_workflow_event_type_3
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_4 = BlockRunCompleted.from_dict(data)

                return componentsschemas_workflow_event_type_4
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                componentsschemas_workflow_event_type_5 = BlockRunFailed.from_dict(data)

                return componentsschemas_workflow_event_type_5
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if not isinstance(data, dict):
                raise TypeError()
            componentsschemas_workflow_event_type_6 = BlockStateUpdated.from_dict(data)

            return componentsschemas_workflow_event_type_6

        response_200 = _parse_response_200(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorBody.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorBody.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorBody.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ErrorBody.from_dict(response.json())

        return response_404

    if response.status_code == 409:
        response_409 = ErrorBody.from_dict(response.json())

        return response_409

    if response.status_code == 422:
        response_422 = HttpValidationError.from_dict(response.json())

        return response_422

    if response.status_code == 429:
        response_429 = ErrorBody.from_dict(response.json())

        return response_429

    if 500 <= response.status_code <= 599:
        response_5xx = ErrorBody.from_dict(response.json())

        return response_5xx

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
]:
    try:
        parsed = _parse_response(client=client, response=response)
    except (AttributeError, KeyError, TypeError, ValueError):
        # An event stream, a page of HTML, JSON of another shape: `content` holds what came.
        parsed = None
    return Response(
        status_code=http_status(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=parsed,
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    body: ExecuteWorkflowConfigRequest,
    environment: ExecutionEnvironment | None | Unset = UNSET,
    revision_id: None | str | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
) -> Response[
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
]:
    """Run a workflow config that is sent with the request

     Runs the workflow in `workflow_config` once, with the given `inputs`.

    With `streaming: false` the answer is one JSON object when the run has ended. A run that failed
    is also answered with status 200: look at `run.stop_reason`. With `streaming: true` the answer
    is a stream of server-sent events.

    A run may cost money and change things elsewhere, and there is no idempotency key: sending the
    request again runs the workflow again.

    Args:
        environment (ExecutionEnvironment | None | Unset):
        revision_id (None | str | Unset):
        session_id (None | str | Unset):
        body (ExecuteWorkflowConfigRequest): A workflow to run, and what to run it with.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BlockRunCompleted | BlockRunFailed | BlockRunStarted | BlockStateUpdated | WorkflowRunCompleted | WorkflowRunFailed | WorkflowRunResponse | WorkflowRunStarted | ErrorBody | HttpValidationError]
    """

    kwargs = get_kwargs(
        body=body,
        environment=environment,
        revision_id=revision_id,
        session_id=session_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: ExecuteWorkflowConfigRequest,
    environment: ExecutionEnvironment | None | Unset = UNSET,
    revision_id: None | str | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
) -> (
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
    | None
):
    """Run a workflow config that is sent with the request

     Runs the workflow in `workflow_config` once, with the given `inputs`.

    With `streaming: false` the answer is one JSON object when the run has ended. A run that failed
    is also answered with status 200: look at `run.stop_reason`. With `streaming: true` the answer
    is a stream of server-sent events.

    A run may cost money and change things elsewhere, and there is no idempotency key: sending the
    request again runs the workflow again.

    Args:
        environment (ExecutionEnvironment | None | Unset):
        revision_id (None | str | Unset):
        session_id (None | str | Unset):
        body (ExecuteWorkflowConfigRequest): A workflow to run, and what to run it with.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BlockRunCompleted | BlockRunFailed | BlockRunStarted | BlockStateUpdated | WorkflowRunCompleted | WorkflowRunFailed | WorkflowRunResponse | WorkflowRunStarted | ErrorBody | HttpValidationError
    """

    return sync_detailed(
        client=client,
        body=body,
        environment=environment,
        revision_id=revision_id,
        session_id=session_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: ExecuteWorkflowConfigRequest,
    environment: ExecutionEnvironment | None | Unset = UNSET,
    revision_id: None | str | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
) -> Response[
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
]:
    """Run a workflow config that is sent with the request

     Runs the workflow in `workflow_config` once, with the given `inputs`.

    With `streaming: false` the answer is one JSON object when the run has ended. A run that failed
    is also answered with status 200: look at `run.stop_reason`. With `streaming: true` the answer
    is a stream of server-sent events.

    A run may cost money and change things elsewhere, and there is no idempotency key: sending the
    request again runs the workflow again.

    Args:
        environment (ExecutionEnvironment | None | Unset):
        revision_id (None | str | Unset):
        session_id (None | str | Unset):
        body (ExecuteWorkflowConfigRequest): A workflow to run, and what to run it with.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[BlockRunCompleted | BlockRunFailed | BlockRunStarted | BlockStateUpdated | WorkflowRunCompleted | WorkflowRunFailed | WorkflowRunResponse | WorkflowRunStarted | ErrorBody | HttpValidationError]
    """

    kwargs = get_kwargs(
        body=body,
        environment=environment,
        revision_id=revision_id,
        session_id=session_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: ExecuteWorkflowConfigRequest,
    environment: ExecutionEnvironment | None | Unset = UNSET,
    revision_id: None | str | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
) -> (
    BlockRunCompleted
    | BlockRunFailed
    | BlockRunStarted
    | BlockStateUpdated
    | WorkflowRunCompleted
    | WorkflowRunFailed
    | WorkflowRunResponse
    | WorkflowRunStarted
    | ErrorBody
    | HttpValidationError
    | None
):
    """Run a workflow config that is sent with the request

     Runs the workflow in `workflow_config` once, with the given `inputs`.

    With `streaming: false` the answer is one JSON object when the run has ended. A run that failed
    is also answered with status 200: look at `run.stop_reason`. With `streaming: true` the answer
    is a stream of server-sent events.

    A run may cost money and change things elsewhere, and there is no idempotency key: sending the
    request again runs the workflow again.

    Args:
        environment (ExecutionEnvironment | None | Unset):
        revision_id (None | str | Unset):
        session_id (None | str | Unset):
        body (ExecuteWorkflowConfigRequest): A workflow to run, and what to run it with.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        BlockRunCompleted | BlockRunFailed | BlockRunStarted | BlockStateUpdated | WorkflowRunCompleted | WorkflowRunFailed | WorkflowRunResponse | WorkflowRunStarted | ErrorBody | HttpValidationError
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            environment=environment,
            revision_id=revision_id,
            session_id=session_id,
        )
    ).parsed

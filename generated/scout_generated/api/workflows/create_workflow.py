from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import errors
from ...types import UNSET, Response, Unset, http_status

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.workflow_config import WorkflowConfig
    from ...models.workflow_response import WorkflowResponse


def get_kwargs(
    *,
    body: WorkflowConfig,
    workflow_key: None | str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    params: dict[str, Any] = {}

    json_workflow_key: None | str | Unset
    if isinstance(workflow_key, Unset):
        json_workflow_key = UNSET
    else:
        json_workflow_key = workflow_key
    params["workflow_key"] = json_workflow_key

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/v2/workflows",
        "params": params,
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | HttpValidationError | WorkflowResponse | None:
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.workflow_response import WorkflowResponse

    if response.status_code == 200:
        response_200 = WorkflowResponse.from_dict(response.json())

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
) -> Response[ErrorBody | HttpValidationError | WorkflowResponse]:
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
    body: WorkflowConfig,
    workflow_key: None | str | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | WorkflowResponse]:
    """Store a new workflow

     Stores a config as a new workflow. There is no idempotency key: sending the request again without
    a `workflow_key` stores another workflow.

    Args:
        workflow_key (None | str | Unset):
        body (WorkflowConfig): A workflow: its blocks and how they follow one another. Every field
            is optional; `{}` is a config.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | WorkflowResponse]
    """

    kwargs = get_kwargs(
        body=body,
        workflow_key=workflow_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    body: WorkflowConfig,
    workflow_key: None | str | Unset = UNSET,
) -> ErrorBody | HttpValidationError | WorkflowResponse | None:
    """Store a new workflow

     Stores a config as a new workflow. There is no idempotency key: sending the request again without
    a `workflow_key` stores another workflow.

    Args:
        workflow_key (None | str | Unset):
        body (WorkflowConfig): A workflow: its blocks and how they follow one another. Every field
            is optional; `{}` is a config.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | WorkflowResponse
    """

    return sync_detailed(
        client=client,
        body=body,
        workflow_key=workflow_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    body: WorkflowConfig,
    workflow_key: None | str | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | WorkflowResponse]:
    """Store a new workflow

     Stores a config as a new workflow. There is no idempotency key: sending the request again without
    a `workflow_key` stores another workflow.

    Args:
        workflow_key (None | str | Unset):
        body (WorkflowConfig): A workflow: its blocks and how they follow one another. Every field
            is optional; `{}` is a config.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | WorkflowResponse]
    """

    kwargs = get_kwargs(
        body=body,
        workflow_key=workflow_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    body: WorkflowConfig,
    workflow_key: None | str | Unset = UNSET,
) -> ErrorBody | HttpValidationError | WorkflowResponse | None:
    """Store a new workflow

     Stores a config as a new workflow. There is no idempotency key: sending the request again without
    a `workflow_key` stores another workflow.

    Args:
        workflow_key (None | str | Unset):
        body (WorkflowConfig): A workflow: its blocks and how they follow one another. Every field
            is optional; `{}` is a config.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | WorkflowResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            workflow_key=workflow_key,
        )
    ).parsed

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import errors
from ...types import UNSET, Response, Unset, http_status

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.run_log import RunLog


def get_kwargs(
    *,
    workflow_id: str,
    session_id: None | str | Unset = UNSET,
    workflow_run_id: None | str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["workflow_id"] = workflow_id

    json_session_id: None | str | Unset
    if isinstance(session_id, Unset):
        json_session_id = UNSET
    else:
        json_session_id = session_id
    params["session_id"] = json_session_id

    json_workflow_run_id: None | str | Unset
    if isinstance(workflow_run_id, Unset):
        json_workflow_run_id = UNSET
    else:
        json_workflow_run_id = workflow_run_id
    params["workflow_run_id"] = json_workflow_run_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v2/run_logs/details",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | HttpValidationError | RunLog | None:
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.run_log import RunLog

    if response.status_code == 200:
        response_200 = RunLog.from_dict(response.json())

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
) -> Response[ErrorBody | HttpValidationError | RunLog]:
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
    workflow_id: str,
    session_id: None | str | Unset = UNSET,
    workflow_run_id: None | str | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | RunLog]:
    """Get the log of one run

     Gives the log of the run that `workflow_run_id` or `session_id` names. One of the two is needed.

    Args:
        workflow_id (str):
        session_id (None | str | Unset):
        workflow_run_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | RunLog]
    """

    kwargs = get_kwargs(
        workflow_id=workflow_id,
        session_id=session_id,
        workflow_run_id=workflow_run_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    session_id: None | str | Unset = UNSET,
    workflow_run_id: None | str | Unset = UNSET,
) -> ErrorBody | HttpValidationError | RunLog | None:
    """Get the log of one run

     Gives the log of the run that `workflow_run_id` or `session_id` names. One of the two is needed.

    Args:
        workflow_id (str):
        session_id (None | str | Unset):
        workflow_run_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | RunLog
    """

    return sync_detailed(
        client=client,
        workflow_id=workflow_id,
        session_id=session_id,
        workflow_run_id=workflow_run_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    session_id: None | str | Unset = UNSET,
    workflow_run_id: None | str | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | RunLog]:
    """Get the log of one run

     Gives the log of the run that `workflow_run_id` or `session_id` names. One of the two is needed.

    Args:
        workflow_id (str):
        session_id (None | str | Unset):
        workflow_run_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | RunLog]
    """

    kwargs = get_kwargs(
        workflow_id=workflow_id,
        session_id=session_id,
        workflow_run_id=workflow_run_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    session_id: None | str | Unset = UNSET,
    workflow_run_id: None | str | Unset = UNSET,
) -> ErrorBody | HttpValidationError | RunLog | None:
    """Get the log of one run

     Gives the log of the run that `workflow_run_id` or `session_id` names. One of the two is needed.

    Args:
        workflow_id (str):
        session_id (None | str | Unset):
        workflow_run_id (None | str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | RunLog
    """

    return (
        await asyncio_detailed(
            client=client,
            workflow_id=workflow_id,
            session_id=session_id,
            workflow_run_id=workflow_run_id,
        )
    ).parsed

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ... import errors
from ...types import UNSET, Response, Unset, http_status

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError


def get_kwargs(
    *,
    workflow_id: str,
    start_date: None | str | Unset = UNSET,
    end_date: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
    status: None | str | Unset = UNSET,
    cursor: None | str | Unset = UNSET,
    summary_only: bool | None | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["workflow_id"] = workflow_id

    json_start_date: None | str | Unset
    if isinstance(start_date, Unset):
        json_start_date = UNSET
    else:
        json_start_date = start_date
    params["start_date"] = json_start_date

    json_end_date: None | str | Unset
    if isinstance(end_date, Unset):
        json_end_date = UNSET
    else:
        json_end_date = end_date
    params["end_date"] = json_end_date

    json_limit: int | None | Unset
    if isinstance(limit, Unset):
        json_limit = UNSET
    else:
        json_limit = limit
    params["limit"] = json_limit

    json_session_id: None | str | Unset
    if isinstance(session_id, Unset):
        json_session_id = UNSET
    else:
        json_session_id = session_id
    params["session_id"] = json_session_id

    json_status: None | str | Unset
    if isinstance(status, Unset):
        json_status = UNSET
    else:
        json_status = status
    params["status"] = json_status

    json_cursor: None | str | Unset
    if isinstance(cursor, Unset):
        json_cursor = UNSET
    else:
        json_cursor = cursor
    params["cursor"] = json_cursor

    json_summary_only: bool | None | Unset
    if isinstance(summary_only, Unset):
        json_summary_only = UNSET
    else:
        json_summary_only = summary_only
    params["summary_only"] = json_summary_only

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v2/run_logs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Any | ErrorBody | HttpValidationError | None:
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError

    if response.status_code == 200:
        response_200 = cast(Any, None)
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
) -> Response[Any | ErrorBody | HttpValidationError]:
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
    start_date: None | str | Unset = UNSET,
    end_date: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
    status: None | str | Unset = UNSET,
    cursor: None | str | Unset = UNSET,
    summary_only: bool | None | Unset = UNSET,
) -> Response[Any | ErrorBody | HttpValidationError]:
    """List the runs of a workflow, page by page

     Gives one page of the logs of the runs of a stored workflow, as a stream of server-sent events with
    one run in each. The last one is no run: it says whether another page follows, and where it begins
    (`next_cursor`, which is given back as `cursor`). A stream that ends without it was cut off.

    Args:
        workflow_id (str):
        start_date (None | str | Unset):
        end_date (None | str | Unset):
        limit (int | None | Unset):
        session_id (None | str | Unset):
        status (None | str | Unset):
        cursor (None | str | Unset):
        summary_only (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | ErrorBody | HttpValidationError]
    """

    kwargs = get_kwargs(
        workflow_id=workflow_id,
        start_date=start_date,
        end_date=end_date,
        limit=limit,
        session_id=session_id,
        status=status,
        cursor=cursor,
        summary_only=summary_only,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    start_date: None | str | Unset = UNSET,
    end_date: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
    status: None | str | Unset = UNSET,
    cursor: None | str | Unset = UNSET,
    summary_only: bool | None | Unset = UNSET,
) -> Any | ErrorBody | HttpValidationError | None:
    """List the runs of a workflow, page by page

     Gives one page of the logs of the runs of a stored workflow, as a stream of server-sent events with
    one run in each. The last one is no run: it says whether another page follows, and where it begins
    (`next_cursor`, which is given back as `cursor`). A stream that ends without it was cut off.

    Args:
        workflow_id (str):
        start_date (None | str | Unset):
        end_date (None | str | Unset):
        limit (int | None | Unset):
        session_id (None | str | Unset):
        status (None | str | Unset):
        cursor (None | str | Unset):
        summary_only (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | ErrorBody | HttpValidationError
    """

    return sync_detailed(
        client=client,
        workflow_id=workflow_id,
        start_date=start_date,
        end_date=end_date,
        limit=limit,
        session_id=session_id,
        status=status,
        cursor=cursor,
        summary_only=summary_only,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    start_date: None | str | Unset = UNSET,
    end_date: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
    status: None | str | Unset = UNSET,
    cursor: None | str | Unset = UNSET,
    summary_only: bool | None | Unset = UNSET,
) -> Response[Any | ErrorBody | HttpValidationError]:
    """List the runs of a workflow, page by page

     Gives one page of the logs of the runs of a stored workflow, as a stream of server-sent events with
    one run in each. The last one is no run: it says whether another page follows, and where it begins
    (`next_cursor`, which is given back as `cursor`). A stream that ends without it was cut off.

    Args:
        workflow_id (str):
        start_date (None | str | Unset):
        end_date (None | str | Unset):
        limit (int | None | Unset):
        session_id (None | str | Unset):
        status (None | str | Unset):
        cursor (None | str | Unset):
        summary_only (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Any | ErrorBody | HttpValidationError]
    """

    kwargs = get_kwargs(
        workflow_id=workflow_id,
        start_date=start_date,
        end_date=end_date,
        limit=limit,
        session_id=session_id,
        status=status,
        cursor=cursor,
        summary_only=summary_only,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    workflow_id: str,
    start_date: None | str | Unset = UNSET,
    end_date: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    session_id: None | str | Unset = UNSET,
    status: None | str | Unset = UNSET,
    cursor: None | str | Unset = UNSET,
    summary_only: bool | None | Unset = UNSET,
) -> Any | ErrorBody | HttpValidationError | None:
    """List the runs of a workflow, page by page

     Gives one page of the logs of the runs of a stored workflow, as a stream of server-sent events with
    one run in each. The last one is no run: it says whether another page follows, and where it begins
    (`next_cursor`, which is given back as `cursor`). A stream that ends without it was cut off.

    Args:
        workflow_id (str):
        start_date (None | str | Unset):
        end_date (None | str | Unset):
        limit (int | None | Unset):
        session_id (None | str | Unset):
        status (None | str | Unset):
        cursor (None | str | Unset):
        summary_only (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Any | ErrorBody | HttpValidationError
    """

    return (
        await asyncio_detailed(
            client=client,
            workflow_id=workflow_id,
            start_date=start_date,
            end_date=end_date,
            limit=limit,
            session_id=session_id,
            status=status,
            cursor=cursor,
            summary_only=summary_only,
        )
    ).parsed

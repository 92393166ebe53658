from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import errors
from ...types import UNSET, Response, Unset, http_status

if TYPE_CHECKING:
    import httpx

    from ...client import AuthenticatedClient, Client
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.list_workflows_response import ListWorkflowsResponse


def get_kwargs(
    *,
    sort: None | str | Unset = UNSET,
    direction: None | str | Unset = UNSET,
    start_at: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    query: None | str | Unset = UNSET,
    tags: None | str | Unset = UNSET,
    drive: bool | None | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    json_sort: None | str | Unset
    if isinstance(sort, Unset):
        json_sort = UNSET
    else:
        json_sort = sort
    params["sort"] = json_sort

    json_direction: None | str | Unset
    if isinstance(direction, Unset):
        json_direction = UNSET
    else:
        json_direction = direction
    params["direction"] = json_direction

    json_start_at: None | str | Unset
    if isinstance(start_at, Unset):
        json_start_at = UNSET
    else:
        json_start_at = start_at
    params["start_at"] = json_start_at

    json_limit: int | None | Unset
    if isinstance(limit, Unset):
        json_limit = UNSET
    else:
        json_limit = limit
    params["limit"] = json_limit

    json_query: None | str | Unset
    if isinstance(query, Unset):
        json_query = UNSET
    else:
        json_query = query
    params["query"] = json_query

    json_tags: None | str | Unset
    if isinstance(tags, Unset):
        json_tags = UNSET
    else:
        json_tags = tags
    params["tags"] = json_tags

    json_drive: bool | None | Unset
    if isinstance(drive, Unset):
        json_drive = UNSET
    else:
        json_drive = drive
    params["drive"] = json_drive

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v2/workflows",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> ErrorBody | HttpValidationError | ListWorkflowsResponse | None:
    from ...models.error_body import ErrorBody
    from ...models.http_validation_error import HttpValidationError
    from ...models.list_workflows_response import ListWorkflowsResponse

    if response.status_code == 200:
        response_200 = ListWorkflowsResponse.from_dict(response.json())

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
) -> Response[ErrorBody | HttpValidationError | ListWorkflowsResponse]:
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
    sort: None | str | Unset = UNSET,
    direction: None | str | Unset = UNSET,
    start_at: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    query: None | str | Unset = UNSET,
    tags: None | str | Unset = UNSET,
    drive: bool | None | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | ListWorkflowsResponse]:
    """List the stored workflows, page by page

     Gives one page. The next one begins at `next_cursor`, which is given back as `start_at`.

    Args:
        sort (None | str | Unset):
        direction (None | str | Unset):
        start_at (None | str | Unset):
        limit (int | None | Unset):
        query (None | str | Unset):
        tags (None | str | Unset):
        drive (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | ListWorkflowsResponse]
    """

    kwargs = get_kwargs(
        sort=sort,
        direction=direction,
        start_at=start_at,
        limit=limit,
        query=query,
        tags=tags,
        drive=drive,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    sort: None | str | Unset = UNSET,
    direction: None | str | Unset = UNSET,
    start_at: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    query: None | str | Unset = UNSET,
    tags: None | str | Unset = UNSET,
    drive: bool | None | Unset = UNSET,
) -> ErrorBody | HttpValidationError | ListWorkflowsResponse | None:
    """List the stored workflows, page by page

     Gives one page. The next one begins at `next_cursor`, which is given back as `start_at`.

    Args:
        sort (None | str | Unset):
        direction (None | str | Unset):
        start_at (None | str | Unset):
        limit (int | None | Unset):
        query (None | str | Unset):
        tags (None | str | Unset):
        drive (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | ListWorkflowsResponse
    """

    return sync_detailed(
        client=client,
        sort=sort,
        direction=direction,
        start_at=start_at,
        limit=limit,
        query=query,
        tags=tags,
        drive=drive,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    sort: None | str | Unset = UNSET,
    direction: None | str | Unset = UNSET,
    start_at: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    query: None | str | Unset = UNSET,
    tags: None | str | Unset = UNSET,
    drive: bool | None | Unset = UNSET,
) -> Response[ErrorBody | HttpValidationError | ListWorkflowsResponse]:
    """List the stored workflows, page by page

     Gives one page. The next one begins at `next_cursor`, which is given back as `start_at`.

    Args:
        sort (None | str | Unset):
        direction (None | str | Unset):
        start_at (None | str | Unset):
        limit (int | None | Unset):
        query (None | str | Unset):
        tags (None | str | Unset):
        drive (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ErrorBody | HttpValidationError | ListWorkflowsResponse]
    """

    kwargs = get_kwargs(
        sort=sort,
        direction=direction,
        start_at=start_at,
        limit=limit,
        query=query,
        tags=tags,
        drive=drive,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    sort: None | str | Unset = UNSET,
    direction: None | str | Unset = UNSET,
    start_at: None | str | Unset = UNSET,
    limit: int | None | Unset = UNSET,
    query: None | str | Unset = UNSET,
    tags: None | str | Unset = UNSET,
    drive: bool | None | Unset = UNSET,
) -> ErrorBody | HttpValidationError | ListWorkflowsResponse | None:
    """List the stored workflows, page by page

     Gives one page. The next one begins at `next_cursor`, which is given back as `start_at`.

    Args:
        sort (None | str | Unset):
        direction (None | str | Unset):
        start_at (None | str | Unset):
        limit (int | None | Unset):
        query (None | str | Unset):
        tags (None | str | Unset):
        drive (bool | None | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ErrorBody | HttpValidationError | ListWorkflowsResponse
    """

    return (
        await asyncio_detailed(
            client=client,
            sort=sort,
            direction=direction,
            start_at=start_at,
            limit=limit,
            query=query,
            tags=tags,
            drive=drive,
        )
    ).parsed

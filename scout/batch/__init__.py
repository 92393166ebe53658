"""Many runs of one workflow: bounded, journalled, resumable.

| file | its job |
|---|---|
| `_rows` | where rows come from |
| `_items` | what a caller receives for each row, and the numbers of all |
| `_job` | what all rows share, and how one row runs |
| `_journal` | what has been sent and what has ended, on disk |
| `_pace` | how many rows may be under way, and when the next may be sent |
| `_engine` | the loop that sends rows |
| `_arguments` | the arguments, and what they say about the requests |
| `_work` | what both iterators share |
| `_batch`, `_async_batch` | the iterators |
| `_dask` | the same rows on more than one machine |
| `_dask_worker` | what runs on those machines |
| `_progress` | the numbers while they change |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._async_batch import AsyncBatch
from ._batch import Batch
from ._items import BatchItem, BatchSummary, RowSource
from ._job import BatchEngine
from ._rows import read_rows

if TYPE_CHECKING:
    from ._dask import DaskEngine
    from ._progress import ProgressBar

__all__ = [
    "AsyncBatch",
    "Batch",
    "BatchEngine",
    "BatchItem",
    "BatchSummary",
    "DaskEngine",
    "ProgressBar",
    "RowSource",
    "read_rows",
]


def __getattr__(name: str) -> object:
    # Imported on first use, because most batches run on one machine, and many without a display.
    if name == "DaskEngine":
        from ._dask import DaskEngine

        return DaskEngine
    if name == "ProgressBar":
        from ._progress import ProgressBar

        return ProgressBar
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

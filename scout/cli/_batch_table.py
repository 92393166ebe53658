"""The numbers at the end of `scout batch`: a table with the variants side by side, or JSON."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from scout._pictures import display_width
from scout.cli._advice import in_options
from scout.cli._checks import counted
from scout.cli._terminal import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scout import BatchSummary

_MOST_CAUSES = 10


class Numbers(NamedTuple):
    """The numbers of one variant.

    Attributes:
        variant: Its name; empty where there are no variants.
        journal: The path of its journal; `None` for none.
        summary: The summary of its batch.
        agreement: The share of its outputs that are those of the first variant; `None` when nothing can be compared.
    """

    variant: str
    journal: str | None
    summary: BatchSummary
    agreement: float | None


def lines(all_numbers: list[Numbers]) -> Iterator[str]:
    """Yield the lines of the table, and below it the causes of what is not done, escaped."""
    table = list(_rows(all_numbers))
    if any(numbers.variant for numbers in all_numbers):
        table.insert(0, ["", *(numbers.variant for numbers in all_numbers)])
    widths = [max(map(display_width, cells)) for cells in zip(*table, strict=True)]
    for name, *cells in table:
        padded = (" " * (width - display_width(cell)) + cell for cell, width in zip(cells, widths[1:], strict=True))
        yield "  ".join([name + " " * (widths[0] - display_width(name)), *padded]).rstrip()
    for numbers in all_numbers:
        yield from _causes(numbers)


def _rows(all_numbers: list[Numbers]) -> Iterator[list[str]]:
    every = [numbers.summary for numbers in all_numbers]
    yield ["rows", *map(_of_all, every)]
    for name in ("done", "failed", "unknown"):
        yield [name, *(f"{getattr(each, name):,}" for each in every)]
    if any(each.resumed for each in every):
        yield ["from the journal", *(f"{each.resumed:,}" for each in every)]
    if len(all_numbers) > 1:
        shares = (numbers.agreement for numbers in all_numbers[1:])
        yield [
            f"same output as {all_numbers[0].variant}",
            "",
            *("-" if share is None else f"{share:.0%}" for share in shares),
        ]
    if any(each.price is not None for each in every):
        yield ["price", *("-" if each.price is None else f"{each.price:.6f}" for each in every)]
    for name in ("input_tokens", "output_tokens"):
        if any(getattr(each, name) for each in every):
            yield [name.replace("_", " "), *(f"{getattr(each, name):,}" for each in every)]
    yield ["run time, median", *(_time(each.percentile(50)) for each in every)]
    yield ["run time, 95 %", *(_time(each.percentile(95)) for each in every)]
    yield ["total time", *(_time(each.seconds) for each in every)]


def _of_all(summary: BatchSummary) -> str:
    has_rest = summary.total is not None and summary.rows < summary.total
    return f"{summary.rows:,} of {summary.total:,}" if has_rest else f"{summary.rows:,}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds < 60 else f"{timedelta(seconds=round(seconds))} h"


def _causes(numbers: Numbers) -> Iterator[str]:
    causes = numbers.summary.causes
    if not causes:
        return
    yield ""
    yield f"not done{f' in {numbers.variant}' if numbers.variant else ''}:"
    shown = list(causes.items())[:_MOST_CAUSES]
    width = max(len(f"{number:,}") for _, number in shown)
    for cause, number in shown:
        yield f"  {number:>{width},}  {escape(in_options(' '.join(cause.split())))}"
    if len(causes) > len(shown):
        yield f"  ... and {counted(len(causes) - len(shown), 'other cause')}"


def as_objects(all_numbers: Iterable[Numbers]) -> list[dict[str, Any]]:
    """Return the numbers of each variant as JSON."""
    return [
        {
            "variant": numbers.variant or None,
            "journal": numbers.journal,
            "agreement": numbers.agreement,
            **numbers.summary.to_dict(),
            "causes": {in_options(cause): number for cause, number in numbers.summary.causes.items()},
        }
        for numbers in all_numbers
    ]

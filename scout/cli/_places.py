"""The places in a workflow file to which the problems of a refused request (422) belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from scout import LoadedWorkflow, ScoutError

STDIN = "stdin"
"""The name of standard input in messages."""


class Place(NamedTuple):
    """A place in a file, and what is wrong there. As text: `workflow.yml, line 3, column 5: field required`."""

    path: str
    line: int
    column: int | None
    message: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}, column {self.column}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """Return the fields."""
        return self._asdict()


def in_file(error: ScoutError, workflow: LoadedWorkflow, path_to_config: Sequence[str]) -> Iterator[Place]:
    """Yield the place of each problem whose place is known.

    Args:
        error: The error of the request.
        workflow: The workflow that was sent, from a file.
        path_to_config: The path of the config in the request, such as `("body", "workflow_config")`.
    """
    from scout import UnprocessableEntityError, WorkflowFileError

    if not isinstance(error, UnprocessableEntityError):
        return
    length = len(path_to_config)
    for detail in error.details:
        path: object = detail.get("loc")
        if not isinstance(path, list) or cast("list[object]", path)[:length] != list(path_to_config):
            continue
        steps = _steps(cast("list[object]", path)[length:], workflow.config)
        try:
            line, column = workflow.locate(steps)
        except WorkflowFileError:  # changed or gone since it was sent
            return
        if line is not None:
            name = ".".join(map(str, steps))
            message = f"{f'{name}: ' if name else ''}{detail.get('msg')}"
            yield Place(workflow.path or STDIN, line, column, message)


def _steps(path: Sequence[object], value: Any) -> list[str | int]:
    """Return the part of a path that exists in a value, and one step beyond."""
    steps: list[str | int] = []
    for step in path:
        if isinstance(value, Mapping):
            steps.append(str(step))
            value = cast("Mapping[str, Any]", value).get(str(step))
        elif isinstance(value, list) and str(step).isdecimal():
            steps.append(int(str(step)))
            value = next(iter(cast("list[object]", value)[int(str(step)) :]), None)
        else:
            break
    return steps

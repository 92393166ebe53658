from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.run_log_status import RunLogStatus
from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.run_log_blocks import RunLogBlocks


T = TypeVar("T", bound="RunLog")


@_attrs_define
class RunLog:
    """What the server noted of one run of a stored workflow."""

    workflow_run_id: str
    """ The id of the run. """
    status: RunLogStatus | str
    """ How far it has come. """
    workflow_display_name: None | str | Unset = UNSET
    """ The name of the workflow that people see. """
    workflow_id: None | str | Unset = UNSET
    """ The workflow that was run. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    environment: None | str | Unset = UNSET
    """ The environment it ran in. """
    revision_id: None | str | Unset = UNSET
    """ The revision that was run. """
    gcs_log_path: None | str | Unset = UNSET
    """ Where the server keeps the log. """
    message: None | str | Unset = UNSET
    """ Why it failed, presumably; empty otherwise. """
    cost: float | None | str | Unset = UNSET
    """ What the run cost. """
    blocks: None | RunLogBlocks | Unset = UNSET
    """ Its blocks, by their ids. """
    output: Any | Unset = UNSET
    """ The result of the run. """
    elapsed_time_ms: int | None | Unset = UNSET
    """ How long it took, in milliseconds. """
    timestamp_start: datetime.datetime | None | Unset = UNSET
    """ When it began. """
    timestamp_end: datetime.datetime | None | Unset = UNSET
    """ When it ended. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        workflow_run_id = self.workflow_run_id

        status: str
        if isinstance(self.status, str):
            status = self.status
        else:
            status = self.status

        workflow_display_name: None | str | Unset
        if isinstance(self.workflow_display_name, Unset):
            workflow_display_name = UNSET
        else:
            workflow_display_name = self.workflow_display_name

        workflow_id: None | str | Unset
        if isinstance(self.workflow_id, Unset):
            workflow_id = UNSET
        else:
            workflow_id = self.workflow_id

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        environment: None | str | Unset
        if isinstance(self.environment, Unset):
            environment = UNSET
        else:
            environment = self.environment

        revision_id: None | str | Unset
        if isinstance(self.revision_id, Unset):
            revision_id = UNSET
        else:
            revision_id = self.revision_id

        gcs_log_path: None | str | Unset
        if isinstance(self.gcs_log_path, Unset):
            gcs_log_path = UNSET
        else:
            gcs_log_path = self.gcs_log_path

        message: None | str | Unset
        if isinstance(self.message, Unset):
            message = UNSET
        else:
            message = self.message

        cost: float | None | str | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        blocks: dict[str, Any] | None | Unset
        if isinstance(self.blocks, Unset):
            blocks = UNSET
        elif isinstance(self.blocks, RunLogBlocks):
            blocks = self.blocks.to_dict()
        else:
            blocks = self.blocks

        output = self.output

        elapsed_time_ms: int | None | Unset
        if isinstance(self.elapsed_time_ms, Unset):
            elapsed_time_ms = UNSET
        else:
            elapsed_time_ms = self.elapsed_time_ms

        timestamp_start: None | str | Unset
        if isinstance(self.timestamp_start, Unset):
            timestamp_start = UNSET
        elif isinstance(self.timestamp_start, datetime.datetime):
            timestamp_start = self.timestamp_start.isoformat()
        else:
            timestamp_start = self.timestamp_start

        timestamp_end: None | str | Unset
        if isinstance(self.timestamp_end, Unset):
            timestamp_end = UNSET
        elif isinstance(self.timestamp_end, datetime.datetime):
            timestamp_end = self.timestamp_end.isoformat()
        else:
            timestamp_end = self.timestamp_end

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "workflow_run_id": workflow_run_id,
                "status": status,
            }
        )
        if workflow_display_name is not UNSET:
            field_dict["workflow_display_name"] = workflow_display_name
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if environment is not UNSET:
            field_dict["environment"] = environment
        if revision_id is not UNSET:
            field_dict["revision_id"] = revision_id
        if gcs_log_path is not UNSET:
            field_dict["gcs_log_path"] = gcs_log_path
        if message is not UNSET:
            field_dict["message"] = message
        if cost is not UNSET:
            field_dict["cost"] = cost
        if blocks is not UNSET:
            field_dict["blocks"] = blocks
        if output is not UNSET:
            field_dict["output"] = output
        if elapsed_time_ms is not UNSET:
            field_dict["elapsed_time_ms"] = elapsed_time_ms
        if timestamp_start is not UNSET:
            field_dict["timestamp_start"] = timestamp_start
        if timestamp_end is not UNSET:
            field_dict["timestamp_end"] = timestamp_end

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        workflow_run_id = _pop("workflow_run_id")

        status: RunLogStatus | str = _pop("status")

        workflow_display_name: None | str | Unset = _pop("workflow_display_name", UNSET)

        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        session_id: None | str | Unset = _pop("session_id", UNSET)

        environment: None | str | Unset = _pop("environment", UNSET)

        revision_id: None | str | Unset = _pop("revision_id", UNSET)

        gcs_log_path: None | str | Unset = _pop("gcs_log_path", UNSET)

        message: None | str | Unset = _pop("message", UNSET)

        cost: float | None | str | Unset = _pop("cost", UNSET)

        def _parse_blocks(data: object) -> None | RunLogBlocks | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                blocks_type_0 = RunLogBlocks.from_dict(data)

                return blocks_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RunLogBlocks | Unset, data)

        blocks = _parse_blocks(_pop("blocks", UNSET))

        output = _pop("output", UNSET)

        elapsed_time_ms: int | None | Unset = _pop("elapsed_time_ms", UNSET)

        def _parse_timestamp_start(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                timestamp_start_type_0 = datetime.datetime.fromisoformat(data)

                return timestamp_start_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        timestamp_start = _parse_timestamp_start(_pop("timestamp_start", UNSET))

        def _parse_timestamp_end(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                timestamp_end_type_0 = datetime.datetime.fromisoformat(data)

                return timestamp_end_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        timestamp_end = _parse_timestamp_end(_pop("timestamp_end", UNSET))

        run_log = cls(
            workflow_run_id,
            status,
            workflow_display_name,
            workflow_id,
            session_id,
            environment,
            revision_id,
            gcs_log_path,
            message,
            cost,
            blocks,
            output,
            elapsed_time_ms,
            timestamp_start,
            timestamp_end,
        )

        run_log.additional_properties = d
        run_log._order = tuple(src_dict)
        return run_log

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties


from ..models.run_log_blocks import RunLogBlocks  # noqa: E402

know_names(RunLog, globals())

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="RunLogBlock")


@_attrs_define
class RunLogBlock:
    """What the server noted of one block of a run."""

    block_id: None | str | Unset = UNSET
    """ The id of the block. """
    block_archetype_id: None | str | Unset = UNSET
    """ What kind of block it is, such as `com.scoutos.llm`. """
    block_type: None | str | Unset = UNSET
    """ What kind of block it is; usually its archetype id. """
    block_display_name: None | str | Unset = UNSET
    """ The name people see. """
    block_inputs: JsonObject | None | Unset = UNSET
    """ The settings it ran with. """
    block_output: Any | Unset = UNSET
    """ What it gave. """
    config: JsonObject | None | Unset = UNSET
    """ The definition of the block. """
    metadata: JsonObject | None | Unset = UNSET
    """ Not described by any source. """
    workflow_state: JsonObject | None | Unset = UNSET
    """ The state of the run, presumably when the block began. """
    status: None | str | Unset = UNSET
    """ How far it has come. """
    message: None | str | Unset = UNSET
    """ Why it failed, presumably. """
    cost: float | None | str | Unset = UNSET
    """ What it cost. """
    elapsed_time_ms: int | None | Unset = UNSET
    """ How long it took, in milliseconds. """
    timestamp_start: datetime.datetime | None | Unset = UNSET
    """ When it began. """
    timestamp_end: datetime.datetime | None | Unset = UNSET
    """ When it ended. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        block_id: None | str | Unset
        if isinstance(self.block_id, Unset):
            block_id = UNSET
        else:
            block_id = self.block_id

        block_archetype_id: None | str | Unset
        if isinstance(self.block_archetype_id, Unset):
            block_archetype_id = UNSET
        else:
            block_archetype_id = self.block_archetype_id

        block_type: None | str | Unset
        if isinstance(self.block_type, Unset):
            block_type = UNSET
        else:
            block_type = self.block_type

        block_display_name: None | str | Unset
        if isinstance(self.block_display_name, Unset):
            block_display_name = UNSET
        else:
            block_display_name = self.block_display_name

        block_inputs: dict[str, Any] | None | Unset
        if isinstance(self.block_inputs, Unset):
            block_inputs = UNSET
        elif isinstance(self.block_inputs, JsonObject):
            block_inputs = self.block_inputs.to_dict()
        else:
            block_inputs = self.block_inputs

        block_output = self.block_output

        config: dict[str, Any] | None | Unset
        if isinstance(self.config, Unset):
            config = UNSET
        elif isinstance(self.config, JsonObject):
            config = self.config.to_dict()
        else:
            config = self.config

        metadata: dict[str, Any] | None | Unset
        if isinstance(self.metadata, Unset):
            metadata = UNSET
        elif isinstance(self.metadata, JsonObject):
            metadata = self.metadata.to_dict()
        else:
            metadata = self.metadata

        workflow_state: dict[str, Any] | None | Unset
        if isinstance(self.workflow_state, Unset):
            workflow_state = UNSET
        elif isinstance(self.workflow_state, JsonObject):
            workflow_state = self.workflow_state.to_dict()
        else:
            workflow_state = self.workflow_state

        status: None | str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        else:
            status = self.status

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
        field_dict.update({})
        if block_id is not UNSET:
            field_dict["block_id"] = block_id
        if block_archetype_id is not UNSET:
            field_dict["block_archetype_id"] = block_archetype_id
        if block_type is not UNSET:
            field_dict["block_type"] = block_type
        if block_display_name is not UNSET:
            field_dict["block_display_name"] = block_display_name
        if block_inputs is not UNSET:
            field_dict["block_inputs"] = block_inputs
        if block_output is not UNSET:
            field_dict["block_output"] = block_output
        if config is not UNSET:
            field_dict["config"] = config
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if workflow_state is not UNSET:
            field_dict["workflow_state"] = workflow_state
        if status is not UNSET:
            field_dict["status"] = status
        if message is not UNSET:
            field_dict["message"] = message
        if cost is not UNSET:
            field_dict["cost"] = cost
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
        block_id: None | str | Unset = _pop("block_id", UNSET)

        block_archetype_id: None | str | Unset = _pop("block_archetype_id", UNSET)

        block_type: None | str | Unset = _pop("block_type", UNSET)

        block_display_name: None | str | Unset = _pop("block_display_name", UNSET)

        def _parse_block_inputs(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                block_inputs_type_0 = JsonObject.from_dict(data)

                return block_inputs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        block_inputs = _parse_block_inputs(_pop("block_inputs", UNSET))

        block_output = _pop("block_output", UNSET)

        def _parse_config(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                config_type_0 = JsonObject.from_dict(data)

                return config_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        config = _parse_config(_pop("config", UNSET))

        def _parse_metadata(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                metadata_type_0 = JsonObject.from_dict(data)

                return metadata_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        metadata = _parse_metadata(_pop("metadata", UNSET))

        def _parse_workflow_state(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                workflow_state_type_0 = JsonObject.from_dict(data)

                return workflow_state_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        workflow_state = _parse_workflow_state(_pop("workflow_state", UNSET))

        status: None | str | Unset = _pop("status", UNSET)

        message: None | str | Unset = _pop("message", UNSET)

        cost: float | None | str | Unset = _pop("cost", UNSET)

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

        run_log_block = cls(
            block_id,
            block_archetype_id,
            block_type,
            block_display_name,
            block_inputs,
            block_output,
            config,
            metadata,
            workflow_state,
            status,
            message,
            cost,
            elapsed_time_ms,
            timestamp_start,
            timestamp_end,
        )

        run_log_block.additional_properties = d
        run_log_block._order = tuple(src_dict)
        return run_log_block

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


from ..models.json_object import JsonObject  # noqa: E402

know_names(RunLogBlock, globals())

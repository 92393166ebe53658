from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="BlockRunCompletedData")


@_attrs_define
class BlockRunCompletedData:
    """What a block that ended well gives."""

    workflow_id: None | str | Unset = UNSET
    """ The workflow that is run. """
    workflow_run_id: None | str | Unset = UNSET
    """ The id of the run. """
    block_id: None | str | Unset = UNSET
    """ The block. """
    block_type: None | str | Unset = UNSET
    """ What kind of block it is; usually its archetype id. """
    config: JsonObject | None | Unset = UNSET
    """ The definition of the block; public consumers read `block_archetype_id` in it. """
    metadata: JsonObject | None | Unset = UNSET
    """ Not described by any source. """
    state: JsonObject | None | Unset = UNSET
    """ What the block gave; `output` holds the result. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    cost: float | None | str | Unset = UNSET
    """ What the block cost; its relation to `price` is not documented. """
    price: float | None | str | Unset = UNSET
    """ What it cost, as a number or as decimal text. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        workflow_id: None | str | Unset
        if isinstance(self.workflow_id, Unset):
            workflow_id = UNSET
        else:
            workflow_id = self.workflow_id

        workflow_run_id: None | str | Unset
        if isinstance(self.workflow_run_id, Unset):
            workflow_run_id = UNSET
        else:
            workflow_run_id = self.workflow_run_id

        block_id: None | str | Unset
        if isinstance(self.block_id, Unset):
            block_id = UNSET
        else:
            block_id = self.block_id

        block_type: None | str | Unset
        if isinstance(self.block_type, Unset):
            block_type = UNSET
        else:
            block_type = self.block_type

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

        state: dict[str, Any] | None | Unset
        if isinstance(self.state, Unset):
            state = UNSET
        elif isinstance(self.state, JsonObject):
            state = self.state.to_dict()
        else:
            state = self.state

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        cost: float | None | str | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        price: float | None | str | Unset
        if isinstance(self.price, Unset):
            price = UNSET
        else:
            price = self.price

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if workflow_run_id is not UNSET:
            field_dict["workflow_run_id"] = workflow_run_id
        if block_id is not UNSET:
            field_dict["block_id"] = block_id
        if block_type is not UNSET:
            field_dict["block_type"] = block_type
        if config is not UNSET:
            field_dict["config"] = config
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if state is not UNSET:
            field_dict["state"] = state
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if cost is not UNSET:
            field_dict["cost"] = cost
        if price is not UNSET:
            field_dict["price"] = price

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        workflow_run_id: None | str | Unset = _pop("workflow_run_id", UNSET)

        block_id: None | str | Unset = _pop("block_id", UNSET)

        block_type: None | str | Unset = _pop("block_type", UNSET)

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

        def _parse_state(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                state_type_0 = JsonObject.from_dict(data)

                return state_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        state = _parse_state(_pop("state", UNSET))

        session_id: None | str | Unset = _pop("session_id", UNSET)

        cost: float | None | str | Unset = _pop("cost", UNSET)

        price: float | None | str | Unset = _pop("price", UNSET)

        block_run_completed_data = cls(
            workflow_id,
            workflow_run_id,
            block_id,
            block_type,
            config,
            metadata,
            state,
            session_id,
            cost,
            price,
        )

        block_run_completed_data.additional_properties = d
        return block_run_completed_data

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

know_names(BlockRunCompletedData, globals())

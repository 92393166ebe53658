from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.update_type import UpdateType
from ..types import UNSET, Unset, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="BlockStateUpdatedData")


@_attrs_define
class BlockStateUpdatedData:
    """An addition to what a block has shown, or all of it."""

    update_data: JsonObject
    """ Any JSON object. What is in it is for the workflow's author to say. """
    workflow_id: None | str | Unset = UNSET
    """ The workflow that is run. """
    workflow_run_id: None | str | Unset = UNSET
    """ The id of the run. """
    block_id: None | str | Unset = UNSET
    """ The block. """
    block_type: None | str | Unset = UNSET
    """ What kind of block it is; usually its archetype id. """
    update_type: None | str | Unset | UpdateType = UNSET
    """ Whether it adds to what the block has shown, or replaces it. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        update_data = self.update_data.to_dict()

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

        update_type: None | str | Unset
        if isinstance(self.update_type, Unset):
            update_type = UNSET
        elif isinstance(self.update_type, str):
            update_type = self.update_type
        else:
            update_type = self.update_type

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "update_data": update_data,
            }
        )
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if workflow_run_id is not UNSET:
            field_dict["workflow_run_id"] = workflow_run_id
        if block_id is not UNSET:
            field_dict["block_id"] = block_id
        if block_type is not UNSET:
            field_dict["block_type"] = block_type
        if update_type is not UNSET:
            field_dict["update_type"] = update_type

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        update_data = JsonObject.from_dict(_pop("update_data"))

        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        workflow_run_id: None | str | Unset = _pop("workflow_run_id", UNSET)

        block_id: None | str | Unset = _pop("block_id", UNSET)

        block_type: None | str | Unset = _pop("block_type", UNSET)

        update_type: None | str | Unset | UpdateType = _pop("update_type", UNSET)

        block_state_updated_data = cls(
            update_data,
            workflow_id,
            workflow_run_id,
            block_id,
            block_type,
            update_type,
        )

        block_state_updated_data.additional_properties = d
        return block_state_updated_data

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

know_names(BlockStateUpdatedData, globals())

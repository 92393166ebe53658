from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order

T = TypeVar("T", bound="BlockConfigItemJson")


@_attrs_define
class BlockConfigItemJson:
    """JSON as text."""

    id: str
    """ The id of the setting. """
    display_name: str
    """ The name people see. """
    type_: Literal["json"]
    default_value: None | str | Unset = UNSET
    """ What holds when there is no value. """
    value: None | str | Unset = UNSET
    """ What is set. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        display_name = self.display_name

        type_ = self.type_

        default_value: None | str | Unset
        if isinstance(self.default_value, Unset):
            default_value = UNSET
        else:
            default_value = self.default_value

        value: None | str | Unset
        if isinstance(self.value, Unset):
            value = UNSET
        else:
            value = self.value

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "display_name": display_name,
                "type": type_,
            }
        )
        if default_value is not UNSET:
            field_dict["default_value"] = default_value
        if value is not UNSET:
            field_dict["value"] = value

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        id = _pop("id")

        display_name = _pop("display_name")

        type_: Literal["json"] = _pop("type")
        if type_ != "json":
            raise ValueError(f"type must match const 'json', got '{type_}'")

        default_value: None | str | Unset = _pop("default_value", UNSET)

        value: None | str | Unset = _pop("value", UNSET)

        block_config_item_json = cls(
            id,
            display_name,
            type_,
            default_value,
            value,
        )

        block_config_item_json.additional_properties = d
        block_config_item_json._order = tuple(src_dict)
        return block_config_item_json

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

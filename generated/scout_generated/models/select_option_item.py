from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order

T = TypeVar("T", bound="SelectOptionItem")


@_attrs_define
class SelectOptionItem:
    """One of the choices of a select setting."""

    name: str
    """ The name people see. """
    id: None | str | Unset = UNSET
    """ The id of the choice. """
    color_hex: None | str | Unset = UNSET
    """ Its colour. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        color_hex: None | str | Unset
        if isinstance(self.color_hex, Unset):
            color_hex = UNSET
        else:
            color_hex = self.color_hex

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
            }
        )
        if id is not UNSET:
            field_dict["id"] = id
        if color_hex is not UNSET:
            field_dict["color_hex"] = color_hex

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        name = _pop("name")

        id: None | str | Unset = _pop("id", UNSET)

        color_hex: None | str | Unset = _pop("color_hex", UNSET)

        select_option_item = cls(
            name,
            id,
            color_hex,
        )

        select_option_item.additional_properties = d
        select_option_item._order = tuple(src_dict)
        return select_option_item

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

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.select_option_item import SelectOptionItem


T = TypeVar("T", bound="BlockConfigItemSelect")


@_attrs_define
class BlockConfigItemSelect:
    """A choice from a list."""

    id: str
    """ The id of the setting. """
    display_name: str
    """ The name people see. """
    type_: Literal["select"]
    options: list[SelectOptionItem]
    """ The choices. """
    selected_option: int | None | Unset = UNSET
    """ The place of the choice in the list. """
    value: None | str | Unset = UNSET
    """ What is set. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        display_name = self.display_name

        type_ = self.type_

        options = []
        for options_item_data in self.options:
            options_item = options_item_data.to_dict()
            options.append(options_item)

        selected_option: int | None | Unset
        if isinstance(self.selected_option, Unset):
            selected_option = UNSET
        else:
            selected_option = self.selected_option

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
                "options": options,
            }
        )
        if selected_option is not UNSET:
            field_dict["selected_option"] = selected_option
        if value is not UNSET:
            field_dict["value"] = value

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        id = _pop("id")

        display_name = _pop("display_name")

        type_: Literal["select"] = _pop("type")
        if type_ != "select":
            raise ValueError(f"type must match const 'select', got '{type_}'")

        options = []
        _options = _pop("options")
        for options_item_data in _options:
            options_item = SelectOptionItem.from_dict(options_item_data)

            options.append(options_item)

        selected_option: int | None | Unset = _pop("selected_option", UNSET)

        value: None | str | Unset = _pop("value", UNSET)

        block_config_item_select = cls(
            id,
            display_name,
            type_,
            options,
            selected_option,
            value,
        )

        block_config_item_select.additional_properties = d
        block_config_item_select._order = tuple(src_dict)
        return block_config_item_select

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


from ..models.select_option_item import SelectOptionItem  # noqa: E402

know_names(BlockConfigItemSelect, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.prompt import Prompt


T = TypeVar("T", bound="BlockConfigItemPrompt")


@_attrs_define
class BlockConfigItemPrompt:
    """A prompt of several messages."""

    id: str
    """ The id of the setting. """
    display_name: str
    """ The name people see. """
    type_: Literal["prompt"]
    value: list[Prompt] | None | Unset = UNSET
    """ What is set. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        display_name = self.display_name

        type_ = self.type_

        value: list[dict[str, Any]] | None | Unset
        if isinstance(self.value, Unset):
            value = UNSET
        elif isinstance(self.value, list):
            value = []
            for value_type_0_item_data in self.value:
                value_type_0_item = value_type_0_item_data.to_dict()
                value.append(value_type_0_item)

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
        if value is not UNSET:
            field_dict["value"] = value

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        id = _pop("id")

        display_name = _pop("display_name")

        type_: Literal["prompt"] = _pop("type")
        if type_ != "prompt":
            raise ValueError(f"type must match const 'prompt', got '{type_}'")

        def _parse_value(data: object) -> list[Prompt] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                value_type_0 = []
                _value_type_0 = data
                for value_type_0_item_data in _value_type_0:
                    value_type_0_item = Prompt.from_dict(value_type_0_item_data)

                    value_type_0.append(value_type_0_item)

                return value_type_0
            return cast(list[Prompt] | None | Unset, data)

        value = _parse_value(_pop("value", UNSET))

        block_config_item_prompt = cls(
            id,
            display_name,
            type_,
            value,
        )

        block_config_item_prompt.additional_properties = d
        block_config_item_prompt._order = tuple(src_dict)
        return block_config_item_prompt

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


from ..models.prompt import Prompt  # noqa: E402

know_names(BlockConfigItemPrompt, globals())

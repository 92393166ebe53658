from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.prompt_role import PromptRole
from ..types import in_order

T = TypeVar("T", bound="Prompt")


@_attrs_define
class Prompt:
    """One message of a prompt."""

    id: str
    """ The id of the message. """
    role: PromptRole | str
    """ Who speaks. """
    content: str
    """ What is said; a template. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        role: str
        if isinstance(self.role, str):
            role = self.role
        else:
            role = self.role

        content = self.content

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "role": role,
                "content": content,
            }
        )

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        id = _pop("id")

        role: PromptRole | str = _pop("role")

        content = _pop("content")

        prompt = cls(
            id,
            role,
            content,
        )

        prompt.additional_properties = d
        prompt._order = tuple(src_dict)
        return prompt

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

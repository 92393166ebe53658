from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order

T = TypeVar("T", bound="EdgeUi")


@_attrs_define
class EdgeUi:
    """How an edge is drawn."""

    edge_type: None | str | Unset = UNSET
    """ The kind of edge, such as `addBlock`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        edge_type: None | str | Unset
        if isinstance(self.edge_type, Unset):
            edge_type = UNSET
        else:
            edge_type = self.edge_type

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if edge_type is not UNSET:
            field_dict["edge_type"] = edge_type

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        edge_type: None | str | Unset = _pop("edge_type", UNSET)

        edge_ui = cls(
            edge_type,
        )

        edge_ui.additional_properties = d
        edge_ui._order = tuple(src_dict)
        return edge_ui

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

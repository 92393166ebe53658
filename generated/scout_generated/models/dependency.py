from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.edge_ui import EdgeUi


T = TypeVar("T", bound="Dependency")


@_attrs_define
class Dependency:
    """An edge from another block to the one that holds it."""

    block_id: str
    """ The block to wait for. """
    ui: EdgeUi | None | Unset = UNSET
    """ How the edge is drawn. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        block_id = self.block_id

        ui: dict[str, Any] | None | Unset
        if isinstance(self.ui, Unset):
            ui = UNSET
        elif isinstance(self.ui, EdgeUi):
            ui = self.ui.to_dict()
        else:
            ui = self.ui

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "block_id": block_id,
            }
        )
        if ui is not UNSET:
            field_dict["ui"] = ui

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        block_id = _pop("block_id")

        def _parse_ui(data: object) -> EdgeUi | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ui_type_0 = EdgeUi.from_dict(data)

                return ui_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(EdgeUi | None | Unset, data)

        ui = _parse_ui(_pop("ui", UNSET))

        dependency = cls(
            block_id,
            ui,
        )

        dependency.additional_properties = d
        dependency._order = tuple(src_dict)
        return dependency

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


from ..models.edge_ui import EdgeUi  # noqa: E402

know_names(Dependency, globals())

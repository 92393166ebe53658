from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.placeholder_type import PlaceholderType
from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.dependency import Dependency
    from ..models.node_ui import NodeUi


T = TypeVar("T", bound="Placeholder")


@_attrs_define
class Placeholder:
    """A place on the canvas where a block is still to be put."""

    block_id: str
    """ The id the block will have. """
    type_: PlaceholderType | str
    """ What it stands for. """
    ui: NodeUi | None | Unset = UNSET
    """ Where it stands on the canvas. """
    dependencies: list[Dependency] | None | Unset = UNSET
    """ The blocks it would wait for. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        block_id = self.block_id

        type_: str
        if isinstance(self.type_, str):
            type_ = self.type_
        else:
            type_ = self.type_

        ui: dict[str, Any] | None | Unset
        if isinstance(self.ui, Unset):
            ui = UNSET
        elif isinstance(self.ui, NodeUi):
            ui = self.ui.to_dict()
        else:
            ui = self.ui

        dependencies: list[dict[str, Any]] | None | Unset
        if isinstance(self.dependencies, Unset):
            dependencies = UNSET
        elif isinstance(self.dependencies, list):
            dependencies = []
            for dependencies_type_0_item_data in self.dependencies:
                dependencies_type_0_item = dependencies_type_0_item_data.to_dict()
                dependencies.append(dependencies_type_0_item)

        else:
            dependencies = self.dependencies

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "block_id": block_id,
                "type": type_,
            }
        )
        if ui is not UNSET:
            field_dict["ui"] = ui
        if dependencies is not UNSET:
            field_dict["dependencies"] = dependencies

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        block_id = _pop("block_id")

        type_: PlaceholderType | str = _pop("type")

        def _parse_ui(data: object) -> NodeUi | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                ui_type_0 = NodeUi.from_dict(data)

                return ui_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(NodeUi | None | Unset, data)

        ui = _parse_ui(_pop("ui", UNSET))

        def _parse_dependencies(data: object) -> list[Dependency] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                dependencies_type_0 = []
                _dependencies_type_0 = data
                for dependencies_type_0_item_data in _dependencies_type_0:
                    dependencies_type_0_item = Dependency.from_dict(dependencies_type_0_item_data)

                    dependencies_type_0.append(dependencies_type_0_item)

                return dependencies_type_0
            return cast(list[Dependency] | None | Unset, data)

        dependencies = _parse_dependencies(_pop("dependencies", UNSET))

        placeholder = cls(
            block_id,
            type_,
            ui,
            dependencies,
        )

        placeholder.additional_properties = d
        placeholder._order = tuple(src_dict)
        return placeholder

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


from ..models.dependency import Dependency  # noqa: E402
from ..models.node_ui import NodeUi  # noqa: E402

know_names(Placeholder, globals())

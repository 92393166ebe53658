from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.node_ui import NodeUi


T = TypeVar("T", bound="WorkflowNote")


@_attrs_define
class WorkflowNote:
    """A note on the canvas."""

    id: str
    """ The id of the note. """
    bg_color: str
    """ Its background colour. """
    content: None | str | Unset = UNSET
    """ Its text. """
    author: None | str | Unset = UNSET
    """ Who wrote it. """
    ui: NodeUi | None | Unset = UNSET
    """ Where it stands on the canvas. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        bg_color = self.bg_color

        content: None | str | Unset
        if isinstance(self.content, Unset):
            content = UNSET
        else:
            content = self.content

        author: None | str | Unset
        if isinstance(self.author, Unset):
            author = UNSET
        else:
            author = self.author

        ui: dict[str, Any] | None | Unset
        if isinstance(self.ui, Unset):
            ui = UNSET
        elif isinstance(self.ui, NodeUi):
            ui = self.ui.to_dict()
        else:
            ui = self.ui

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
                "bgColor": bg_color,
            }
        )
        if content is not UNSET:
            field_dict["content"] = content
        if author is not UNSET:
            field_dict["author"] = author
        if ui is not UNSET:
            field_dict["ui"] = ui

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        id = _pop("id")

        bg_color = _pop("bgColor")

        content: None | str | Unset = _pop("content", UNSET)

        author: None | str | Unset = _pop("author", UNSET)

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

        workflow_note = cls(
            id,
            bg_color,
            content,
            author,
            ui,
        )

        workflow_note.additional_properties = d
        workflow_note._order = tuple(src_dict)
        return workflow_note

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


from ..models.node_ui import NodeUi  # noqa: E402

know_names(WorkflowNote, globals())

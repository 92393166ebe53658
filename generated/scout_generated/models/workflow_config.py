from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.block import Block
    from ..models.placeholder import Placeholder
    from ..models.workflow_note import WorkflowNote


T = TypeVar("T", bound="WorkflowConfig")


@_attrs_define
class WorkflowConfig:
    """A workflow: its blocks and how they follow one another. Every field is optional; `{}` is a config."""

    workflow_display_name: None | str | Unset = UNSET
    """ The name people see. """
    workflow_schema_version: None | str | Unset = UNSET
    """ The version of the config format; `1.0` in all public configs. """
    workflow_img_url: None | str | Unset = UNSET
    """ Address of a picture. """
    workflow_description: None | str | Unset = UNSET
    """ What the workflow does, for people. """
    blocks: list[Block] | None | Unset = UNSET
    """ The steps, in no particular order; their dependencies decide which comes first. """
    notes: list[WorkflowNote] | None | Unset = UNSET
    """ Notes on the canvas. """
    placeholders: list[Placeholder] | None | Unset = UNSET
    """ Places on the canvas where a block is still to be put. """
    tags: list[str] | None | Unset = UNSET
    """ Words to find the workflow by. """
    is_tool: bool | None | Unset = UNSET
    """ Whether agents may use the workflow as a tool. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        workflow_display_name: None | str | Unset
        if isinstance(self.workflow_display_name, Unset):
            workflow_display_name = UNSET
        else:
            workflow_display_name = self.workflow_display_name

        workflow_schema_version: None | str | Unset
        if isinstance(self.workflow_schema_version, Unset):
            workflow_schema_version = UNSET
        else:
            workflow_schema_version = self.workflow_schema_version

        workflow_img_url: None | str | Unset
        if isinstance(self.workflow_img_url, Unset):
            workflow_img_url = UNSET
        else:
            workflow_img_url = self.workflow_img_url

        workflow_description: None | str | Unset
        if isinstance(self.workflow_description, Unset):
            workflow_description = UNSET
        else:
            workflow_description = self.workflow_description

        blocks: list[dict[str, Any]] | None | Unset
        if isinstance(self.blocks, Unset):
            blocks = UNSET
        elif isinstance(self.blocks, list):
            blocks = []
            for blocks_type_0_item_data in self.blocks:
                blocks_type_0_item = blocks_type_0_item_data.to_dict()
                blocks.append(blocks_type_0_item)

        else:
            blocks = self.blocks

        notes: list[dict[str, Any]] | None | Unset
        if isinstance(self.notes, Unset):
            notes = UNSET
        elif isinstance(self.notes, list):
            notes = []
            for notes_type_0_item_data in self.notes:
                notes_type_0_item = notes_type_0_item_data.to_dict()
                notes.append(notes_type_0_item)

        else:
            notes = self.notes

        placeholders: list[dict[str, Any]] | None | Unset
        if isinstance(self.placeholders, Unset):
            placeholders = UNSET
        elif isinstance(self.placeholders, list):
            placeholders = []
            for placeholders_type_0_item_data in self.placeholders:
                placeholders_type_0_item = placeholders_type_0_item_data.to_dict()
                placeholders.append(placeholders_type_0_item)

        else:
            placeholders = self.placeholders

        tags: list[str] | None | Unset
        if isinstance(self.tags, Unset):
            tags = UNSET
        elif isinstance(self.tags, list):
            tags = self.tags

        else:
            tags = self.tags

        is_tool: bool | None | Unset
        if isinstance(self.is_tool, Unset):
            is_tool = UNSET
        else:
            is_tool = self.is_tool

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if workflow_display_name is not UNSET:
            field_dict["workflow_display_name"] = workflow_display_name
        if workflow_schema_version is not UNSET:
            field_dict["workflow_schema_version"] = workflow_schema_version
        if workflow_img_url is not UNSET:
            field_dict["workflow_img_url"] = workflow_img_url
        if workflow_description is not UNSET:
            field_dict["workflow_description"] = workflow_description
        if blocks is not UNSET:
            field_dict["blocks"] = blocks
        if notes is not UNSET:
            field_dict["notes"] = notes
        if placeholders is not UNSET:
            field_dict["placeholders"] = placeholders
        if tags is not UNSET:
            field_dict["tags"] = tags
        if is_tool is not UNSET:
            field_dict["is_tool"] = is_tool

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        workflow_display_name: None | str | Unset = _pop("workflow_display_name", UNSET)

        workflow_schema_version: None | str | Unset = _pop("workflow_schema_version", UNSET)

        workflow_img_url: None | str | Unset = _pop("workflow_img_url", UNSET)

        workflow_description: None | str | Unset = _pop("workflow_description", UNSET)

        def _parse_blocks(data: object) -> list[Block] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                blocks_type_0 = []
                _blocks_type_0 = data
                for blocks_type_0_item_data in _blocks_type_0:
                    blocks_type_0_item = Block.from_dict(blocks_type_0_item_data)

                    blocks_type_0.append(blocks_type_0_item)

                return blocks_type_0
            return cast(list[Block] | None | Unset, data)

        blocks = _parse_blocks(_pop("blocks", UNSET))

        def _parse_notes(data: object) -> list[WorkflowNote] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                notes_type_0 = []
                _notes_type_0 = data
                for notes_type_0_item_data in _notes_type_0:
                    notes_type_0_item = WorkflowNote.from_dict(notes_type_0_item_data)

                    notes_type_0.append(notes_type_0_item)

                return notes_type_0
            return cast(list[WorkflowNote] | None | Unset, data)

        notes = _parse_notes(_pop("notes", UNSET))

        def _parse_placeholders(data: object) -> list[Placeholder] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                placeholders_type_0 = []
                _placeholders_type_0 = data
                for placeholders_type_0_item_data in _placeholders_type_0:
                    placeholders_type_0_item = Placeholder.from_dict(placeholders_type_0_item_data)

                    placeholders_type_0.append(placeholders_type_0_item)

                return placeholders_type_0
            return cast(list[Placeholder] | None | Unset, data)

        placeholders = _parse_placeholders(_pop("placeholders", UNSET))

        tags: list[str] | None | Unset = _pop("tags", UNSET)

        is_tool: bool | None | Unset = _pop("is_tool", UNSET)

        workflow_config = cls(
            workflow_display_name,
            workflow_schema_version,
            workflow_img_url,
            workflow_description,
            blocks,
            notes,
            placeholders,
            tags,
            is_tool,
        )

        workflow_config.additional_properties = d
        workflow_config._order = tuple(src_dict)
        return workflow_config

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


from ..models.block import Block  # noqa: E402
from ..models.placeholder import Placeholder  # noqa: E402
from ..models.workflow_note import WorkflowNote  # noqa: E402

know_names(WorkflowConfig, globals())

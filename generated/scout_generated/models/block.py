from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.block_config_item_boolean import BlockConfigItemBoolean
    from ..models.block_config_item_json import BlockConfigItemJson
    from ..models.block_config_item_number import BlockConfigItemNumber
    from ..models.block_config_item_prompt import BlockConfigItemPrompt
    from ..models.block_config_item_select import BlockConfigItemSelect
    from ..models.block_config_item_text_long import BlockConfigItemTextLong
    from ..models.block_config_item_text_short import BlockConfigItemTextShort
    from ..models.dependency import Dependency
    from ..models.json_object import JsonObject
    from ..models.node_ui import NodeUi


T = TypeVar("T", bound="Block")


@_attrs_define
class Block:
    """One step of a workflow."""

    block_archetype_id: str
    """ What kind of step it is, such as `com.scoutos.llm`. """
    block_display_name: str
    """ The name people see. """
    block_id: str
    """ The name of the block in templates, in dependencies and in the state of a run. """
    block_config: (
        list[
            BlockConfigItemBoolean
            | BlockConfigItemJson
            | BlockConfigItemNumber
            | BlockConfigItemPrompt
            | BlockConfigItemSelect
            | BlockConfigItemTextLong
            | BlockConfigItemTextShort
        ]
        | None
        | Unset
    ) = UNSET
    """ Settings in an older form; empty in all public configs. """
    block_inputs: JsonObject | None | Unset = UNSET
    """ The settings of the block. Texts in it are templates. """
    is_output: bool | None | Unset = UNSET
    """ Whether the result of this block is the answer of the workflow. """
    block_is_output: bool | None | Unset = UNSET
    """ The older name of `is_output`. """
    dependencies: list[Dependency] | None | Unset = UNSET
    """ The blocks that must have run before this one. """
    input_schema: JsonObject | None | Unset = UNSET
    """ A schema of what the block takes; empty in public configs. """
    output_schema: list[Any] | None | Unset = UNSET
    """ A schema of what the block gives; empty in public configs. """
    ui: NodeUi | None | Unset = UNSET
    """ Where the block stands on the canvas. """
    trigger_config: JsonObject | None | Unset = UNSET
    """ What starts the workflow, on blocks that are triggers. """
    ignore_error: bool | None | Unset = UNSET
    """ Whether the run goes on when this block fails. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        block_archetype_id = self.block_archetype_id

        block_display_name = self.block_display_name

        block_id = self.block_id

        block_config: list[dict[str, Any]] | None | Unset
        if isinstance(self.block_config, Unset):
            block_config = UNSET
        elif isinstance(self.block_config, list):
            block_config = []
            for block_config_type_0_item_data in self.block_config:
                block_config_type_0_item: dict[str, Any]
                if isinstance(block_config_type_0_item_data, BlockConfigItemBoolean):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                elif isinstance(block_config_type_0_item_data, BlockConfigItemJson):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                elif isinstance(block_config_type_0_item_data, BlockConfigItemNumber):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                elif isinstance(block_config_type_0_item_data, BlockConfigItemPrompt):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                elif isinstance(block_config_type_0_item_data, BlockConfigItemSelect):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                elif isinstance(block_config_type_0_item_data, BlockConfigItemTextLong):
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()
                else:
                    block_config_type_0_item = block_config_type_0_item_data.to_dict()

                block_config.append(block_config_type_0_item)

        else:
            block_config = self.block_config

        block_inputs: dict[str, Any] | None | Unset
        if isinstance(self.block_inputs, Unset):
            block_inputs = UNSET
        elif isinstance(self.block_inputs, JsonObject):
            block_inputs = self.block_inputs.to_dict()
        else:
            block_inputs = self.block_inputs

        is_output: bool | None | Unset
        if isinstance(self.is_output, Unset):
            is_output = UNSET
        else:
            is_output = self.is_output

        block_is_output: bool | None | Unset
        if isinstance(self.block_is_output, Unset):
            block_is_output = UNSET
        else:
            block_is_output = self.block_is_output

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

        input_schema: dict[str, Any] | None | Unset
        if isinstance(self.input_schema, Unset):
            input_schema = UNSET
        elif isinstance(self.input_schema, JsonObject):
            input_schema = self.input_schema.to_dict()
        else:
            input_schema = self.input_schema

        output_schema: list[Any] | None | Unset
        if isinstance(self.output_schema, Unset):
            output_schema = UNSET
        elif isinstance(self.output_schema, list):
            output_schema = self.output_schema

        else:
            output_schema = self.output_schema

        ui: dict[str, Any] | None | Unset
        if isinstance(self.ui, Unset):
            ui = UNSET
        elif isinstance(self.ui, NodeUi):
            ui = self.ui.to_dict()
        else:
            ui = self.ui

        trigger_config: dict[str, Any] | None | Unset
        if isinstance(self.trigger_config, Unset):
            trigger_config = UNSET
        elif isinstance(self.trigger_config, JsonObject):
            trigger_config = self.trigger_config.to_dict()
        else:
            trigger_config = self.trigger_config

        ignore_error: bool | None | Unset
        if isinstance(self.ignore_error, Unset):
            ignore_error = UNSET
        else:
            ignore_error = self.ignore_error

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "block_archetype_id": block_archetype_id,
                "block_display_name": block_display_name,
                "block_id": block_id,
            }
        )
        if block_config is not UNSET:
            field_dict["block_config"] = block_config
        if block_inputs is not UNSET:
            field_dict["block_inputs"] = block_inputs
        if is_output is not UNSET:
            field_dict["is_output"] = is_output
        if block_is_output is not UNSET:
            field_dict["block_is_output"] = block_is_output
        if dependencies is not UNSET:
            field_dict["dependencies"] = dependencies
        if input_schema is not UNSET:
            field_dict["input_schema"] = input_schema
        if output_schema is not UNSET:
            field_dict["output_schema"] = output_schema
        if ui is not UNSET:
            field_dict["ui"] = ui
        if trigger_config is not UNSET:
            field_dict["trigger_config"] = trigger_config
        if ignore_error is not UNSET:
            field_dict["ignore_error"] = ignore_error

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        block_archetype_id = _pop("block_archetype_id")

        block_display_name = _pop("block_display_name")

        block_id = _pop("block_id")

        def _parse_block_config(
            data: object,
        ) -> (
            list[
                BlockConfigItemBoolean
                | BlockConfigItemJson
                | BlockConfigItemNumber
                | BlockConfigItemPrompt
                | BlockConfigItemSelect
                | BlockConfigItemTextLong
                | BlockConfigItemTextShort
            ]
            | None
            | Unset
        ):
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            if isinstance(data, list):
                block_config_type_0 = []
                _block_config_type_0 = data
                for block_config_type_0_item_data in _block_config_type_0:

                    def _parse_block_config_type_0_item(
                        data: object,
                    ) -> (
                        BlockConfigItemBoolean
                        | BlockConfigItemJson
                        | BlockConfigItemNumber
                        | BlockConfigItemPrompt
                        | BlockConfigItemSelect
                        | BlockConfigItemTextLong
                        | BlockConfigItemTextShort
                    ):
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_0 = BlockConfigItemBoolean.from_dict(
                                data
                            )

                            return componentsschemas_block_config_item_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_1 = BlockConfigItemJson.from_dict(data)

                            return componentsschemas_block_config_item_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_2 = BlockConfigItemNumber.from_dict(data)

                            return componentsschemas_block_config_item_type_2
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_3 = BlockConfigItemPrompt.from_dict(data)

                            return componentsschemas_block_config_item_type_3
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_4 = BlockConfigItemSelect.from_dict(data)

                            return componentsschemas_block_config_item_type_4
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            componentsschemas_block_config_item_type_5 = BlockConfigItemTextLong.from_dict(
                                data
                            )

                            return componentsschemas_block_config_item_type_5
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        componentsschemas_block_config_item_type_6 = BlockConfigItemTextShort.from_dict(data)

                        return componentsschemas_block_config_item_type_6

                    block_config_type_0_item = _parse_block_config_type_0_item(block_config_type_0_item_data)

                    block_config_type_0.append(block_config_type_0_item)

                return block_config_type_0
            return cast(
                list[
                    BlockConfigItemBoolean
                    | BlockConfigItemJson
                    | BlockConfigItemNumber
                    | BlockConfigItemPrompt
                    | BlockConfigItemSelect
                    | BlockConfigItemTextLong
                    | BlockConfigItemTextShort
                ]
                | None
                | Unset,
                data,
            )

        block_config = _parse_block_config(_pop("block_config", UNSET))

        def _parse_block_inputs(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                block_inputs_type_0 = JsonObject.from_dict(data)

                return block_inputs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        block_inputs = _parse_block_inputs(_pop("block_inputs", UNSET))

        is_output: bool | None | Unset = _pop("is_output", UNSET)

        block_is_output: bool | None | Unset = _pop("block_is_output", UNSET)

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

        def _parse_input_schema(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                input_schema_type_0 = JsonObject.from_dict(data)

                return input_schema_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        input_schema = _parse_input_schema(_pop("input_schema", UNSET))

        output_schema: list[Any] | None | Unset = _pop("output_schema", UNSET)

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

        def _parse_trigger_config(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                trigger_config_type_0 = JsonObject.from_dict(data)

                return trigger_config_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        trigger_config = _parse_trigger_config(_pop("trigger_config", UNSET))

        ignore_error: bool | None | Unset = _pop("ignore_error", UNSET)

        block = cls(
            block_archetype_id,
            block_display_name,
            block_id,
            block_config,
            block_inputs,
            is_output,
            block_is_output,
            dependencies,
            input_schema,
            output_schema,
            ui,
            trigger_config,
            ignore_error,
        )

        block.additional_properties = d
        block._order = tuple(src_dict)
        return block

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


from ..models.block_config_item_boolean import BlockConfigItemBoolean  # noqa: E402
from ..models.block_config_item_json import BlockConfigItemJson  # noqa: E402
from ..models.block_config_item_number import BlockConfigItemNumber  # noqa: E402
from ..models.block_config_item_prompt import BlockConfigItemPrompt  # noqa: E402
from ..models.block_config_item_select import BlockConfigItemSelect  # noqa: E402
from ..models.block_config_item_text_long import BlockConfigItemTextLong  # noqa: E402
from ..models.block_config_item_text_short import BlockConfigItemTextShort  # noqa: E402
from ..models.dependency import Dependency  # noqa: E402
from ..models.json_object import JsonObject  # noqa: E402
from ..models.node_ui import NodeUi  # noqa: E402

know_names(Block, globals())

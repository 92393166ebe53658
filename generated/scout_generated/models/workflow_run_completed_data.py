from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="WorkflowRunCompletedData")


@_attrs_define
class WorkflowRunCompletedData:
    """What a run that ended well gives."""

    workflow_id: None | str | Unset = UNSET
    """ The workflow that is run. """
    workflow_run_id: None | str | Unset = UNSET
    """ The id of the run. """
    output: bool | float | JsonObject | list[Any] | None | str | Unset = UNSET
    """ The result of the run. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    workflow_config: JsonObject | None | Unset = UNSET
    """ The workflow that is run, as a config. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        workflow_id: None | str | Unset
        if isinstance(self.workflow_id, Unset):
            workflow_id = UNSET
        else:
            workflow_id = self.workflow_id

        workflow_run_id: None | str | Unset
        if isinstance(self.workflow_run_id, Unset):
            workflow_run_id = UNSET
        else:
            workflow_run_id = self.workflow_run_id

        output: bool | dict[str, Any] | float | list[Any] | None | str | Unset
        if isinstance(self.output, Unset):
            output = UNSET
        elif isinstance(self.output, JsonObject):
            output = self.output.to_dict()
        elif isinstance(self.output, list):
            output = self.output

        else:
            output = self.output

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        workflow_config: dict[str, Any] | None | Unset
        if isinstance(self.workflow_config, Unset):
            workflow_config = UNSET
        elif isinstance(self.workflow_config, JsonObject):
            workflow_config = self.workflow_config.to_dict()
        else:
            workflow_config = self.workflow_config

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if workflow_run_id is not UNSET:
            field_dict["workflow_run_id"] = workflow_run_id
        if output is not UNSET:
            field_dict["output"] = output
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if workflow_config is not UNSET:
            field_dict["workflow_config"] = workflow_config

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        workflow_run_id: None | str | Unset = _pop("workflow_run_id", UNSET)

        def _parse_output(data: object) -> bool | float | JsonObject | list[Any] | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                output_type_0 = JsonObject.from_dict(data)

                return output_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            if isinstance(data, list):
                output_type_1_type_0 = cast(list[Any], data)

                return output_type_1_type_0
            return cast(bool | float | JsonObject | list[Any] | None | str | Unset, data)

        output = _parse_output(_pop("output", UNSET))

        session_id: None | str | Unset = _pop("session_id", UNSET)

        def _parse_workflow_config(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                workflow_config_type_0 = JsonObject.from_dict(data)

                return workflow_config_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        workflow_config = _parse_workflow_config(_pop("workflow_config", UNSET))

        workflow_run_completed_data = cls(
            workflow_id,
            workflow_run_id,
            output,
            session_id,
            workflow_config,
        )

        workflow_run_completed_data.additional_properties = d
        return workflow_run_completed_data

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


from ..models.json_object import JsonObject  # noqa: E402

know_names(WorkflowRunCompletedData, globals())

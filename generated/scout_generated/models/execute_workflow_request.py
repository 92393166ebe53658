from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="ExecuteWorkflowRequest")


@_attrs_define
class ExecuteWorkflowRequest:
    """What to run a stored workflow with."""

    inputs: JsonObject | Unset = UNSET
    """ Any JSON object. What is in it is for the workflow's author to say. """
    streaming: bool | Unset = False
    """ Whether the answer is a stream of events. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        inputs: dict[str, Any] | Unset = UNSET
        if not isinstance(self.inputs, Unset):
            inputs = self.inputs.to_dict()

        streaming = self.streaming

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if inputs is not UNSET:
            field_dict["inputs"] = inputs
        if streaming is not UNSET:
            field_dict["streaming"] = streaming

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        _inputs = _pop("inputs", UNSET)
        inputs: JsonObject | Unset
        if isinstance(_inputs, Unset):
            inputs = UNSET
        else:
            inputs = JsonObject.from_dict(_inputs)

        streaming = _pop("streaming", UNSET)

        execute_workflow_request = cls(
            inputs,
            streaming,
        )

        execute_workflow_request.additional_properties = d
        execute_workflow_request._order = tuple(src_dict)
        return execute_workflow_request

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

know_names(ExecuteWorkflowRequest, globals())

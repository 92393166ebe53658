from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import in_order, know_names

if TYPE_CHECKING:
    from ..models.workflow import Workflow


T = TypeVar("T", bound="ListWorkflowRevisionsResponse")


@_attrs_define
class ListWorkflowRevisionsResponse:
    """The revisions of a workflow."""

    data: list[Workflow]
    """ The workflow in each of its revisions. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        data = []
        for data_item_data in self.data:
            data_item = data_item_data.to_dict()
            data.append(data_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "data": data,
            }
        )

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        data = []
        _data = _pop("data")
        for data_item_data in _data:
            data_item = Workflow.from_dict(data_item_data)

            data.append(data_item)

        list_workflow_revisions_response = cls(
            data,
        )

        list_workflow_revisions_response.additional_properties = d
        list_workflow_revisions_response._order = tuple(src_dict)
        return list_workflow_revisions_response

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


from ..models.workflow import Workflow  # noqa: E402

know_names(ListWorkflowRevisionsResponse, globals())

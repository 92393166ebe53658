from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.workflow_run import WorkflowRun


T = TypeVar("T", bound="WorkflowRunResponse")


@_attrs_define
class WorkflowRunResponse:
    """A run that has ended."""

    run: WorkflowRun
    """ What a run left behind. """
    workflow_id: None | str | Unset = UNSET
    """ The workflow that was run. """
    output_block_id: None | str | Unset = UNSET
    """ The block that holds the answer in `run.state`. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        run = self.run.to_dict()

        workflow_id: None | str | Unset
        if isinstance(self.workflow_id, Unset):
            workflow_id = UNSET
        else:
            workflow_id = self.workflow_id

        output_block_id: None | str | Unset
        if isinstance(self.output_block_id, Unset):
            output_block_id = UNSET
        else:
            output_block_id = self.output_block_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "run": run,
            }
        )
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if output_block_id is not UNSET:
            field_dict["output_block_id"] = output_block_id

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        run = WorkflowRun.from_dict(_pop("run"))

        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        output_block_id: None | str | Unset = _pop("output_block_id", UNSET)

        workflow_run_response = cls(
            run,
            workflow_id,
            output_block_id,
        )

        workflow_run_response.additional_properties = d
        workflow_run_response._order = tuple(src_dict)
        return workflow_run_response

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


from ..models.workflow_run import WorkflowRun  # noqa: E402

know_names(WorkflowRunResponse, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.stop_reason import StopReason
from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="WorkflowRun")


@_attrs_define
class WorkflowRun:
    """What a run left behind."""

    stop_reason: StopReason | str
    """ How the run ended. Other values than these may come. """
    state: JsonObject | None | Unset = UNSET
    """ What each block gave, by block id: usually an object whose `output` is the result. `inputs` and names that
    begin with two underscores are the server's own. """
    errors: list[str] | None | Unset = UNSET
    """ What went wrong, as messages. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    workflow_run_id: None | str | Unset = UNSET
    """ The id of the run. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        stop_reason: str
        if isinstance(self.stop_reason, str):
            stop_reason = self.stop_reason
        else:
            stop_reason = self.stop_reason

        state: dict[str, Any] | None | Unset
        if isinstance(self.state, Unset):
            state = UNSET
        elif isinstance(self.state, JsonObject):
            state = self.state.to_dict()
        else:
            state = self.state

        errors: list[str] | None | Unset
        if isinstance(self.errors, Unset):
            errors = UNSET
        elif isinstance(self.errors, list):
            errors = self.errors

        else:
            errors = self.errors

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        workflow_run_id: None | str | Unset
        if isinstance(self.workflow_run_id, Unset):
            workflow_run_id = UNSET
        else:
            workflow_run_id = self.workflow_run_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "stop_reason": stop_reason,
            }
        )
        if state is not UNSET:
            field_dict["state"] = state
        if errors is not UNSET:
            field_dict["errors"] = errors
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if workflow_run_id is not UNSET:
            field_dict["workflow_run_id"] = workflow_run_id

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        stop_reason: StopReason | str = _pop("stop_reason")

        def _parse_state(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                state_type_0 = JsonObject.from_dict(data)

                return state_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        state = _parse_state(_pop("state", UNSET))

        errors: list[str] | None | Unset = _pop("errors", UNSET)

        session_id: None | str | Unset = _pop("session_id", UNSET)

        workflow_run_id: None | str | Unset = _pop("workflow_run_id", UNSET)

        workflow_run = cls(
            stop_reason,
            state,
            errors,
            session_id,
            workflow_run_id,
        )

        workflow_run.additional_properties = d
        workflow_run._order = tuple(src_dict)
        return workflow_run

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

know_names(WorkflowRun, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject
    from ..models.workflow_actor import WorkflowActor


T = TypeVar("T", bound="WorkflowRunStartedData")


@_attrs_define
class WorkflowRunStartedData:
    """What is known when a run begins."""

    actor: None | Unset | WorkflowActor = UNSET
    """ Who started the run. """
    workflow_id: None | str | Unset = UNSET
    """ The workflow that is run. """
    workflow_run_id: None | str | Unset = UNSET
    """ The id of the run. """
    inputs: JsonObject | None | Unset = UNSET
    """ What the run was given. """
    session_id: None | str | Unset = UNSET
    """ The session of the run. """
    state: JsonObject | None | Unset = UNSET
    """ The state the run begins with. """
    workflow_config: JsonObject | None | Unset = UNSET
    """ The workflow that is run, as a config. """
    price: float | None | str | Unset = UNSET
    """ What it cost, as a number or as decimal text. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        actor: dict[str, Any] | None | Unset
        if isinstance(self.actor, Unset):
            actor = UNSET
        elif isinstance(self.actor, WorkflowActor):
            actor = self.actor.to_dict()
        else:
            actor = self.actor

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

        inputs: dict[str, Any] | None | Unset
        if isinstance(self.inputs, Unset):
            inputs = UNSET
        elif isinstance(self.inputs, JsonObject):
            inputs = self.inputs.to_dict()
        else:
            inputs = self.inputs

        session_id: None | str | Unset
        if isinstance(self.session_id, Unset):
            session_id = UNSET
        else:
            session_id = self.session_id

        state: dict[str, Any] | None | Unset
        if isinstance(self.state, Unset):
            state = UNSET
        elif isinstance(self.state, JsonObject):
            state = self.state.to_dict()
        else:
            state = self.state

        workflow_config: dict[str, Any] | None | Unset
        if isinstance(self.workflow_config, Unset):
            workflow_config = UNSET
        elif isinstance(self.workflow_config, JsonObject):
            workflow_config = self.workflow_config.to_dict()
        else:
            workflow_config = self.workflow_config

        price: float | None | str | Unset
        if isinstance(self.price, Unset):
            price = UNSET
        else:
            price = self.price

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if actor is not UNSET:
            field_dict["actor"] = actor
        if workflow_id is not UNSET:
            field_dict["workflow_id"] = workflow_id
        if workflow_run_id is not UNSET:
            field_dict["workflow_run_id"] = workflow_run_id
        if inputs is not UNSET:
            field_dict["inputs"] = inputs
        if session_id is not UNSET:
            field_dict["session_id"] = session_id
        if state is not UNSET:
            field_dict["state"] = state
        if workflow_config is not UNSET:
            field_dict["workflow_config"] = workflow_config
        if price is not UNSET:
            field_dict["price"] = price

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop

        def _parse_actor(data: object) -> None | Unset | WorkflowActor:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                actor_type_0 = WorkflowActor.from_dict(data)

                return actor_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | WorkflowActor, data)

        actor = _parse_actor(_pop("actor", UNSET))

        workflow_id: None | str | Unset = _pop("workflow_id", UNSET)

        workflow_run_id: None | str | Unset = _pop("workflow_run_id", UNSET)

        def _parse_inputs(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                inputs_type_0 = JsonObject.from_dict(data)

                return inputs_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        inputs = _parse_inputs(_pop("inputs", UNSET))

        session_id: None | str | Unset = _pop("session_id", UNSET)

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

        price: float | None | str | Unset = _pop("price", UNSET)

        workflow_run_started_data = cls(
            actor,
            workflow_id,
            workflow_run_id,
            inputs,
            session_id,
            state,
            workflow_config,
            price,
        )

        workflow_run_started_data.additional_properties = d
        return workflow_run_started_data

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
from ..models.workflow_actor import WorkflowActor  # noqa: E402

know_names(WorkflowRunStartedData, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import in_order, know_names

if TYPE_CHECKING:
    from ..models.environment_deployment_config import EnvironmentDeploymentConfig


T = TypeVar("T", bound="UpdateWorkflowEnvironmentRequest")


@_attrs_define
class UpdateWorkflowEnvironmentRequest:
    """What an environment is to run."""

    name: str
    """ The name of the environment. """
    description: str
    """ What it is for. """
    deployments: list[EnvironmentDeploymentConfig]
    """ What it runs from now on. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        description = self.description

        deployments = []
        for deployments_item_data in self.deployments:
            deployments_item = deployments_item_data.to_dict()
            deployments.append(deployments_item)

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "description": description,
                "deployments": deployments,
            }
        )

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        name = _pop("name")

        description = _pop("description")

        deployments = []
        _deployments = _pop("deployments")
        for deployments_item_data in _deployments:
            deployments_item = EnvironmentDeploymentConfig.from_dict(deployments_item_data)

            deployments.append(deployments_item)

        update_workflow_environment_request = cls(
            name,
            description,
            deployments,
        )

        update_workflow_environment_request.additional_properties = d
        update_workflow_environment_request._order = tuple(src_dict)
        return update_workflow_environment_request

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


from ..models.environment_deployment_config import EnvironmentDeploymentConfig  # noqa: E402

know_names(UpdateWorkflowEnvironmentRequest, globals())

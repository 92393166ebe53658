from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.environment_config import EnvironmentConfig
    from ..models.environment_deployment import EnvironmentDeployment
    from ..models.identity import Identity


T = TypeVar("T", bound="WorkflowEnvironment")


@_attrs_define
class WorkflowEnvironment:
    """An environment of a workflow, and which revision it runs."""

    environment_id: str
    """ The id of the environment. """
    environment_config: EnvironmentConfig
    """ How an environment is called. """
    deployments: list[EnvironmentDeployment]
    """ What it runs. """
    created_at: datetime.datetime | None | Unset = UNSET
    """ When it was made. """
    created_by: Identity | None | Unset = UNSET
    """ Who made it. """
    last_updated_at: datetime.datetime | None | Unset = UNSET
    """ When it was changed last. """
    last_updated_by: Identity | None | Unset = UNSET
    """ Who changed it last. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        environment_id = self.environment_id

        environment_config = self.environment_config.to_dict()

        deployments = []
        for deployments_item_data in self.deployments:
            deployments_item = deployments_item_data.to_dict()
            deployments.append(deployments_item)

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        elif isinstance(self.created_at, datetime.datetime):
            created_at = self.created_at.isoformat()
        else:
            created_at = self.created_at

        created_by: dict[str, Any] | None | Unset
        if isinstance(self.created_by, Unset):
            created_by = UNSET
        elif isinstance(self.created_by, Identity):
            created_by = self.created_by.to_dict()
        else:
            created_by = self.created_by

        last_updated_at: None | str | Unset
        if isinstance(self.last_updated_at, Unset):
            last_updated_at = UNSET
        elif isinstance(self.last_updated_at, datetime.datetime):
            last_updated_at = self.last_updated_at.isoformat()
        else:
            last_updated_at = self.last_updated_at

        last_updated_by: dict[str, Any] | None | Unset
        if isinstance(self.last_updated_by, Unset):
            last_updated_by = UNSET
        elif isinstance(self.last_updated_by, Identity):
            last_updated_by = self.last_updated_by.to_dict()
        else:
            last_updated_by = self.last_updated_by

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "environment_id": environment_id,
                "environment_config": environment_config,
                "deployments": deployments,
            }
        )
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if created_by is not UNSET:
            field_dict["created_by"] = created_by
        if last_updated_at is not UNSET:
            field_dict["last_updated_at"] = last_updated_at
        if last_updated_by is not UNSET:
            field_dict["last_updated_by"] = last_updated_by

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        environment_id = _pop("environment_id")

        environment_config = EnvironmentConfig.from_dict(_pop("environment_config"))

        deployments = []
        _deployments = _pop("deployments")
        for deployments_item_data in _deployments:
            deployments_item = EnvironmentDeployment.from_dict(deployments_item_data)

            deployments.append(deployments_item)

        def _parse_created_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                created_at_type_0 = datetime.datetime.fromisoformat(data)

                return created_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        created_at = _parse_created_at(_pop("created_at", UNSET))

        def _parse_created_by(data: object) -> Identity | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                created_by_type_0 = Identity.from_dict(data)

                return created_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Identity | None | Unset, data)

        created_by = _parse_created_by(_pop("created_by", UNSET))

        def _parse_last_updated_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                last_updated_at_type_0 = datetime.datetime.fromisoformat(data)

                return last_updated_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        last_updated_at = _parse_last_updated_at(_pop("last_updated_at", UNSET))

        def _parse_last_updated_by(data: object) -> Identity | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                last_updated_by_type_0 = Identity.from_dict(data)

                return last_updated_by_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Identity | None | Unset, data)

        last_updated_by = _parse_last_updated_by(_pop("last_updated_by", UNSET))

        workflow_environment = cls(
            environment_id,
            environment_config,
            deployments,
            created_at,
            created_by,
            last_updated_at,
            last_updated_by,
        )

        workflow_environment.additional_properties = d
        workflow_environment._order = tuple(src_dict)
        return workflow_environment

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


from ..models.environment_config import EnvironmentConfig  # noqa: E402
from ..models.environment_deployment import EnvironmentDeployment  # noqa: E402
from ..models.identity import Identity  # noqa: E402

know_names(WorkflowEnvironment, globals())

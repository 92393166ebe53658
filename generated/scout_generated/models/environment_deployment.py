from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.environment_deployment_config import EnvironmentDeploymentConfig
    from ..models.identity import Identity


T = TypeVar("T", bound="EnvironmentDeployment")


@_attrs_define
class EnvironmentDeployment:
    """What an environment runs, as it is stored."""

    deployment_config: EnvironmentDeploymentConfig
    """ What an environment runs. """
    deployment_id: None | str | Unset = UNSET
    """ The id of the deployment. """
    environment_id: None | str | Unset = UNSET
    """ The environment. """
    created_at: datetime.datetime | None | Unset = UNSET
    """ When it was made. """
    created_by: Identity | None | Unset = UNSET
    """ Who made it. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        deployment_config = self.deployment_config.to_dict()

        deployment_id: None | str | Unset
        if isinstance(self.deployment_id, Unset):
            deployment_id = UNSET
        else:
            deployment_id = self.deployment_id

        environment_id: None | str | Unset
        if isinstance(self.environment_id, Unset):
            environment_id = UNSET
        else:
            environment_id = self.environment_id

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

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "deployment_config": deployment_config,
            }
        )
        if deployment_id is not UNSET:
            field_dict["deployment_id"] = deployment_id
        if environment_id is not UNSET:
            field_dict["environment_id"] = environment_id
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if created_by is not UNSET:
            field_dict["created_by"] = created_by

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        deployment_config = EnvironmentDeploymentConfig.from_dict(_pop("deployment_config"))

        deployment_id: None | str | Unset = _pop("deployment_id", UNSET)

        environment_id: None | str | Unset = _pop("environment_id", UNSET)

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

        environment_deployment = cls(
            deployment_config,
            deployment_id,
            environment_id,
            created_at,
            created_by,
        )

        environment_deployment.additional_properties = d
        environment_deployment._order = tuple(src_dict)
        return environment_deployment

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
from ..models.identity import Identity  # noqa: E402

know_names(EnvironmentDeployment, globals())

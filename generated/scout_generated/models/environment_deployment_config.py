from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.revision_lookup import RevisionLookup
from ..types import UNSET, Unset, in_order

T = TypeVar("T", bound="EnvironmentDeploymentConfig")


@_attrs_define
class EnvironmentDeploymentConfig:
    """What an environment runs."""

    revision_lookup: RevisionLookup | str
    """ How the revision is chosen. Other values than these may come. """
    revision_id: None | str | Unset = UNSET
    """ The revision to which requests go, when `revision_lookup` is `revision_id`. """
    traffic: int | None | Unset = UNSET
    """ How much of the traffic it gets. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        revision_lookup: str
        if isinstance(self.revision_lookup, str):
            revision_lookup = self.revision_lookup
        else:
            revision_lookup = self.revision_lookup

        revision_id: None | str | Unset
        if isinstance(self.revision_id, Unset):
            revision_id = UNSET
        else:
            revision_id = self.revision_id

        traffic: int | None | Unset
        if isinstance(self.traffic, Unset):
            traffic = UNSET
        else:
            traffic = self.traffic

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "revision_lookup": revision_lookup,
            }
        )
        if revision_id is not UNSET:
            field_dict["revision_id"] = revision_id
        if traffic is not UNSET:
            field_dict["traffic"] = traffic

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        revision_lookup: RevisionLookup | str = _pop("revision_lookup")

        revision_id: None | str | Unset = _pop("revision_id", UNSET)

        traffic: int | None | Unset = _pop("traffic", UNSET)

        environment_deployment_config = cls(
            revision_lookup,
            revision_id,
            traffic,
        )

        environment_deployment_config.additional_properties = d
        environment_deployment_config._order = tuple(src_dict)
        return environment_deployment_config

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

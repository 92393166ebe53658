from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.api_key_identity import ApiKeyIdentity
    from ..models.json_object import JsonObject
    from ..models.user_identity import UserIdentity


T = TypeVar("T", bound="Identity")


@_attrs_define
class Identity:
    """Who did something."""

    type_: None | str | Unset = UNSET
    """ What kind of identity it is, such as `user` or `api_key`. """
    details: ApiKeyIdentity | JsonObject | None | Unset | UserIdentity = UNSET
    """ More about it, by kind. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        type_: None | str | Unset
        if isinstance(self.type_, Unset):
            type_ = UNSET
        else:
            type_ = self.type_

        details: dict[str, Any] | None | Unset
        if isinstance(self.details, Unset):
            details = UNSET
        elif isinstance(self.details, UserIdentity):
            details = self.details.to_dict()
        elif isinstance(self.details, ApiKeyIdentity):
            details = self.details.to_dict()
        elif isinstance(self.details, JsonObject):
            details = self.details.to_dict()
        else:
            details = self.details

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if type_ is not UNSET:
            field_dict["type"] = type_
        if details is not UNSET:
            field_dict["details"] = details

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        type_: None | str | Unset = _pop("type", UNSET)

        def _parse_details(data: object) -> ApiKeyIdentity | JsonObject | None | Unset | UserIdentity:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                details_type_0 = UserIdentity.from_dict(data)

                return details_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                details_type_1 = ApiKeyIdentity.from_dict(data)

                return details_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                details_type_2 = JsonObject.from_dict(data)

                return details_type_2
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ApiKeyIdentity | JsonObject | None | Unset | UserIdentity, data)

        details = _parse_details(_pop("details", UNSET))

        identity = cls(
            type_,
            details,
        )

        identity.additional_properties = d
        identity._order = tuple(src_dict)
        return identity

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


from ..models.api_key_identity import ApiKeyIdentity  # noqa: E402
from ..models.json_object import JsonObject  # noqa: E402
from ..models.user_identity import UserIdentity  # noqa: E402

know_names(Identity, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.json_object import JsonObject


T = TypeVar("T", bound="UserIdentity")


@_attrs_define
class UserIdentity:
    """A person."""

    user_id: str
    """ The id of the user. """
    org_id: None | str | Unset = UNSET
    """ The id of the user's organisation. """
    scout_organization_id: None | str | Unset = UNSET
    """ The id of the organisation at Scout. """
    email: JsonObject | None | Unset = UNSET
    """ The user's address. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        user_id = self.user_id

        org_id: None | str | Unset
        if isinstance(self.org_id, Unset):
            org_id = UNSET
        else:
            org_id = self.org_id

        scout_organization_id: None | str | Unset
        if isinstance(self.scout_organization_id, Unset):
            scout_organization_id = UNSET
        else:
            scout_organization_id = self.scout_organization_id

        email: dict[str, Any] | None | Unset
        if isinstance(self.email, Unset):
            email = UNSET
        elif isinstance(self.email, JsonObject):
            email = self.email.to_dict()
        else:
            email = self.email

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "user_id": user_id,
            }
        )
        if org_id is not UNSET:
            field_dict["org_id"] = org_id
        if scout_organization_id is not UNSET:
            field_dict["scout_organization_id"] = scout_organization_id
        if email is not UNSET:
            field_dict["email"] = email

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        user_id = _pop("user_id")

        org_id: None | str | Unset = _pop("org_id", UNSET)

        scout_organization_id: None | str | Unset = _pop("scout_organization_id", UNSET)

        def _parse_email(data: object) -> JsonObject | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                email_type_0 = JsonObject.from_dict(data)

                return email_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(JsonObject | None | Unset, data)

        email = _parse_email(_pop("email", UNSET))

        user_identity = cls(
            user_id,
            org_id,
            scout_organization_id,
            email,
        )

        user_identity.additional_properties = d
        user_identity._order = tuple(src_dict)
        return user_identity

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

know_names(UserIdentity, globals())

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, know_names

if TYPE_CHECKING:
    from ..models.block_state_updated_data import BlockStateUpdatedData


T = TypeVar("T", bound="BlockStateUpdated")


@_attrs_define
class BlockStateUpdated:
    """A block has more to show."""

    name: Literal["block_state_updated"]
    data: BlockStateUpdatedData
    """ An addition to what a block has shown, or all of it. """
    organization_id: None | str | Unset = UNSET
    """ The organisation that owns the workflow. """
    id: None | str | Unset = UNSET
    """ The id of the event. """
    correlation_id: None | str | Unset = UNSET
    """ The event that this one goes back to; its own id when there is none. """
    environment: None | str | Unset = UNSET
    """ Where the run takes place. """
    timestamp: None | str | Unset = UNSET
    """ When it happened, as ISO 8601 text in UTC. """
    price: float | None | str | Unset = UNSET
    """ What it cost, as a number or as decimal text. """
    event_type: None | str | Unset = UNSET
    """ The kind of event. Use `name` to tell events apart. """
    version: None | str | Unset = UNSET
    """ The version of the event format. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        name = self.name

        data = self.data.to_dict()

        organization_id: None | str | Unset
        if isinstance(self.organization_id, Unset):
            organization_id = UNSET
        else:
            organization_id = self.organization_id

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        correlation_id: None | str | Unset
        if isinstance(self.correlation_id, Unset):
            correlation_id = UNSET
        else:
            correlation_id = self.correlation_id

        environment: None | str | Unset
        if isinstance(self.environment, Unset):
            environment = UNSET
        else:
            environment = self.environment

        timestamp: None | str | Unset
        if isinstance(self.timestamp, Unset):
            timestamp = UNSET
        else:
            timestamp = self.timestamp

        price: float | None | str | Unset
        if isinstance(self.price, Unset):
            price = UNSET
        else:
            price = self.price

        event_type: None | str | Unset
        if isinstance(self.event_type, Unset):
            event_type = UNSET
        else:
            event_type = self.event_type

        version: None | str | Unset
        if isinstance(self.version, Unset):
            version = UNSET
        else:
            version = self.version

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "name": name,
                "data": data,
            }
        )
        if organization_id is not UNSET:
            field_dict["organization_id"] = organization_id
        if id is not UNSET:
            field_dict["id"] = id
        if correlation_id is not UNSET:
            field_dict["correlation_id"] = correlation_id
        if environment is not UNSET:
            field_dict["environment"] = environment
        if timestamp is not UNSET:
            field_dict["timestamp"] = timestamp
        if price is not UNSET:
            field_dict["price"] = price
        if event_type is not UNSET:
            field_dict["event_type"] = event_type
        if version is not UNSET:
            field_dict["version"] = version

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        name: Literal["block_state_updated"] = _pop("name")
        if name != "block_state_updated":
            raise ValueError(f"name must match const 'block_state_updated', got '{name}'")

        data = BlockStateUpdatedData.from_dict(_pop("data"))

        organization_id: None | str | Unset = _pop("organization_id", UNSET)

        id: None | str | Unset = _pop("id", UNSET)

        correlation_id: None | str | Unset = _pop("correlation_id", UNSET)

        environment: None | str | Unset = _pop("environment", UNSET)

        timestamp: None | str | Unset = _pop("timestamp", UNSET)

        price: float | None | str | Unset = _pop("price", UNSET)

        event_type: None | str | Unset = _pop("event_type", UNSET)

        version: None | str | Unset = _pop("version", UNSET)

        block_state_updated = cls(
            name,
            data,
            organization_id,
            id,
            correlation_id,
            environment,
            timestamp,
            price,
            event_type,
            version,
        )

        block_state_updated.additional_properties = d
        return block_state_updated

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


from ..models.block_state_updated_data import BlockStateUpdatedData  # noqa: E402

know_names(BlockStateUpdated, globals())

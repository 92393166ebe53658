from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset, in_order, know_names

if TYPE_CHECKING:
    from ..models.identity import Identity
    from ..models.workflow_config import WorkflowConfig


T = TypeVar("T", bound="Workflow")


@_attrs_define
class Workflow:
    """A stored workflow, in one of its revisions."""

    workflow_id: str
    """ The id of the workflow. """
    revision_id: str
    """ The revision that this is. """
    workflow_config: WorkflowConfig
    """ A workflow: its blocks and how they follow one another. Every field is optional; `{}` is a config. """
    workflow_key: None | str | Unset = UNSET
    """ The key that its author chose. """
    is_draft: bool | None | Unset = UNSET
    """ Whether this state is saved and not deployed. """
    created_at: datetime.datetime | None | Unset = UNSET
    """ When it was stored first. """
    last_updated_at: datetime.datetime | None | Unset = UNSET
    """ When it was changed last. """
    created_by: Identity | None | Unset = UNSET
    """ Who stored it. """
    last_updated_by: Identity | None | Unset = UNSET
    """ Who changed it last. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)
    _order: tuple[str, ...] = _attrs_field(init=False, default=(), eq=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        workflow_id = self.workflow_id

        revision_id = self.revision_id

        workflow_config = self.workflow_config.to_dict()

        workflow_key: None | str | Unset
        if isinstance(self.workflow_key, Unset):
            workflow_key = UNSET
        else:
            workflow_key = self.workflow_key

        is_draft: bool | None | Unset
        if isinstance(self.is_draft, Unset):
            is_draft = UNSET
        else:
            is_draft = self.is_draft

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        elif isinstance(self.created_at, datetime.datetime):
            created_at = self.created_at.isoformat()
        else:
            created_at = self.created_at

        last_updated_at: None | str | Unset
        if isinstance(self.last_updated_at, Unset):
            last_updated_at = UNSET
        elif isinstance(self.last_updated_at, datetime.datetime):
            last_updated_at = self.last_updated_at.isoformat()
        else:
            last_updated_at = self.last_updated_at

        created_by: dict[str, Any] | None | Unset
        if isinstance(self.created_by, Unset):
            created_by = UNSET
        elif isinstance(self.created_by, Identity):
            created_by = self.created_by.to_dict()
        else:
            created_by = self.created_by

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
                "workflow_id": workflow_id,
                "revision_id": revision_id,
                "workflow_config": workflow_config,
            }
        )
        if workflow_key is not UNSET:
            field_dict["workflow_key"] = workflow_key
        if is_draft is not UNSET:
            field_dict["is_draft"] = is_draft
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if last_updated_at is not UNSET:
            field_dict["last_updated_at"] = last_updated_at
        if created_by is not UNSET:
            field_dict["created_by"] = created_by
        if last_updated_by is not UNSET:
            field_dict["last_updated_by"] = last_updated_by

        return in_order(field_dict, self._order)

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        _pop = d.pop
        workflow_id = _pop("workflow_id")

        revision_id = _pop("revision_id")

        workflow_config = WorkflowConfig.from_dict(_pop("workflow_config"))

        workflow_key: None | str | Unset = _pop("workflow_key", UNSET)

        is_draft: bool | None | Unset = _pop("is_draft", UNSET)

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

        workflow = cls(
            workflow_id,
            revision_id,
            workflow_config,
            workflow_key,
            is_draft,
            created_at,
            last_updated_at,
            created_by,
            last_updated_by,
        )

        workflow.additional_properties = d
        workflow._order = tuple(src_dict)
        return workflow

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


from ..models.identity import Identity  # noqa: E402
from ..models.workflow_config import WorkflowConfig  # noqa: E402

know_names(Workflow, globals())

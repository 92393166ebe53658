"""A client library for accessing Scout workflow API.

Generated from openapi.yaml by scripts/regenerate; do not edit.

PYTEST_DONT_REWRITE: this package holds a pytest plugin, and pytest would warn where it is imported before pytest.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import AuthenticatedClient, Client

__all__ = (
    "AuthenticatedClient",
    "Client",
)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client

    value = globals()[name] = getattr(client, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Environments: the four deployments of a workflow that can run."""

from enum import StrEnum

__all__ = ["Environment"]


class Environment(StrEnum):
    """The environment whose deployed revision of a workflow a run uses.

    Source: the query parameter `environment` of
    https://docs.scoutos.com (API, Workflows, "Execute a workflow with provided config").
    """

    PRODUCTION = "production"
    """Live conditions."""
    STAGING = "staging"
    """Testing prior to a production deployment."""
    DEVELOPMENT = "development"
    """Testing new changes."""
    CONSOLE = "console"
    """The latest saved changes of the workflow, deployed or not."""

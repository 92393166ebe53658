"""Checks of workflows: mistakes that can be found without running them."""

from __future__ import annotations

from ._check import check
from ._problems import Problem, Rule, Severity, check_rules
from ._uses import input_names

__all__ = ["Problem", "Rule", "Severity", "check", "check_rules", "input_names"]

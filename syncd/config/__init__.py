"""The config: one TOML file, read, checked as a whole, and compiled into the planner's rules.

Reading order: `models` (the shape), `places` and `load` (find, read, translate errors), `check`
(what one table says against another), `compile` (with the systems' schemas at hand, into rules).
"""

from __future__ import annotations

from syncd.config.compile import CompiledFlow, check_shared, compile_flow
from syncd.config.compile_member import CompiledMember
from syncd.config.load import Loaded, load, parse
from syncd.config.models import Config, FlowConfig, MemberConfig, SystemConfig
from syncd.config.places import find, state_dir
from syncd.config.problems import ConfigErrors, Finding

__all__ = [
    "CompiledFlow",
    "CompiledMember",
    "Config",
    "ConfigErrors",
    "Finding",
    "FlowConfig",
    "Loaded",
    "MemberConfig",
    "SystemConfig",
    "check_shared",
    "compile_flow",
    "find",
    "load",
    "parse",
    "state_dir",
]

"""A field's table → its type and its comparison."""

from __future__ import annotations

from syncd.config.models import FieldConfig
from syncd.core.values import Comparison, FieldType


def field_type(options: FieldConfig) -> FieldType:
    """Raises ConfigError (of the core) for a type or option that is none."""
    chosen = {
        key: value
        for key in ("zone", "precision", "choices", "limit", "null")
        if (value := getattr(options, key)) is not None
    }
    return FieldType.parse(options.type, **chosen)


def comparison(options: FieldConfig) -> Comparison:
    return Comparison(field_type(options), options.fold, options.null or "distinct")

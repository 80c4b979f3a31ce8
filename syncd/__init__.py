"""syncd keeps the same records equal in every system a business uses."""

__version__ = "0.1.0"

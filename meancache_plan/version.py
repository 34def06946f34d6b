"""The compiler's version, which profiles and schedules name."""

__version__ = "0.1.0"

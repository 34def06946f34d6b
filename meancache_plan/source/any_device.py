"""What ``versions`` say of the devices that computed, and how they leave it open."""

from collections.abc import Mapping

KINDS = ("device", "devices", "parallel", "threads")
"""What they say of the device, or of the several that shared a model."""

ANY = "any"
"""The device of what may have been made on several kinds."""


def on_any_device(versions: Mapping[str, str]) -> dict[str, str]:
    """``versions`` that leave the kind of device open."""
    return {name: text for name, text in versions.items() if name not in KINDS} | {"device": ANY}


def is_of_device(name: str) -> bool:
    """Whether the setting of this full name says what kind of device computed."""
    return name in {f"versions.{kind}" for kind in KINDS}

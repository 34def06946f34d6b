"""The address of a cluster: refused at once where nobody answers."""

import socket

from meancache_plan.errors import InputError

PATIENCE = 20.0
"""Seconds in which whoever is there answers."""


def check_address(address: str) -> None:
    """Refuse an address at which nobody answers: Ray would try for minutes."""
    if address.startswith("ray://"):
        raise InputError(
            f"RAY_ADDRESS={address} is Ray Client's: run on a machine of the cluster, with the "
            "cluster's own address, such as HEAD:6379"
        )
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isdecimal()):
        return  # this machine's cluster, or what Ray refuses by name
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError, ValueError) as error:
        raise InputError(
            f"RAY_ADDRESS={address}: nobody answers there ({error}); start the cluster first, or "
            "leave it out to use this machine alone"
        ) from error

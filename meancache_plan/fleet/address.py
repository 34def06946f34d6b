"""The address of a cluster: refused at once where nobody answers."""

import socket

from meancache_plan.errors import InputError

PATIENCE = 20.0
"""Seconds in which whoever is there answers."""


def check_address(told: str, noted: str | None) -> None:
    """Refuse an address at which nobody answers: Ray would try for minutes.

    Args:
        told: What ``RAY_ADDRESS`` says; "" for nothing.
        noted: Which cluster Ray has noted as this machine's own, if any, to be joined without.
    """
    if told.startswith("ray://"):
        raise InputError(
            f"RAY_ADDRESS={told} is Ray Client's: run on a machine of the cluster, with the "
            "cluster's own address, such as HEAD:6379"
        )
    address = (noted or "") if told in ("", "auto") else told
    host, _, port = address.rpartition(":")
    if "://" in host or not (host and port.isdecimal()):
        return  # a cluster is started here, or Ray refuses it by name
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError, ValueError) as error:
        where, remedy = f"RAY_ADDRESS={told}", "start the cluster first"
        if told != address:
            where = f"{address}, which Ray has noted as this machine's cluster"
            remedy = "run `ray stop`, which forgets it"
        raise InputError(
            f"{where}: nobody answers there ({error}); {remedy}, or set RAY_ADDRESS=local to use "
            "this machine alone"
        ) from error

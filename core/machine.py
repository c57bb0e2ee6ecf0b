"""What this machine gives the process."""

import ipaddress
import os


def usable_cores() -> int:
    """Cores this process may use: its share in a container or under taskset, where the platform tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host (a name or an address)."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

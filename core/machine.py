"""Resources that this machine gives the process."""

import ctypes
import ipaddress
import os
import sys
from pathlib import Path


def usable_cores() -> int:
    """Cores this process may use: its share in a container or under taskset, where the platform tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def usable_memory_mb() -> float | None:
    """Memory this process may use, in MB: the machine's, or less where a container is given less. None where
    the platform does not tell."""
    limits = [_physical_memory()]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text("ascii")))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    known = [limit for limit in limits if limit]
    return min(known) / 1e6 if known else None


def _physical_memory() -> int | None:
    if sys.platform == "win32":
        found = ctypes.c_ulonglong()
        told = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(found))
        return found.value * 1024 if told else None
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host (a name or an address)."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

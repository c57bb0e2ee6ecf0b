"""What this machine gives the process."""

import os


def usable_cores() -> int:
    """Cores this process may use: its share in a container or under taskset, where the platform tells."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1

"""The ``askpix`` command, with fetches that may go to this machine: for tests with a hostile server on it.

``FETCH_PORT`` is the one port that is fetched from, ``FETCH_S`` the deadline of a fetch; every name is this
machine. A turn of a job is a second.
"""

import os
from functools import partial

from askpix.ingest.sources import fetch_budget, http_fetch

# Before anything else takes them by name.
setattr(  # noqa: B010
    fetch_budget,
    "FetchLimits",
    partial(
        fetch_budget.FetchLimits,
        ports=(int(os.environ["FETCH_PORT"]),),
        total_s=float(os.environ["FETCH_S"]),
    ),
)
setattr(  # noqa: B010
    http_fetch,
    "fetch",
    partial(http_fetch.fetch, resolve=lambda host, port: ["127.0.0.1"], allowed=lambda address: True),
)

from askpix.api.cli.main import app  # noqa: E402
from askpix.api.jobs.queue import JobRunner  # noqa: E402

assert JobRunner.__init__.__kwdefaults__ is not None
JobRunner.__init__.__kwdefaults__["turn_s"] = 1.0

if __name__ == "__main__":
    app()

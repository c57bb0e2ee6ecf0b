"""Commands that run one of our functions in a child process, wherever Askpix is installed."""

import sys
from pathlib import Path

_RUN = (
    "import sys; from importlib import import_module; n = int(sys.argv[1]);"
    " sys.path[:] = sys.argv[2:2 + n]; entry, *rest = sys.argv[2 + n:]; sys.argv[:] = [entry, *rest];"
    " module, _, function = entry.partition(':'); getattr(import_module(module), function)()"
)


def python_command(entry: str, *arguments: str) -> list[str]:
    """Return the command that calls ``entry`` ("package.module:function") with ``arguments`` in ``sys.argv``.

    The child searches for modules where this process does, but never in its working folder: a folder that
    has an ``api/`` or a ``numpy.py`` of its own changes nothing.
    """
    # ``askpix`` is found through the search path unless somebody loaded it by hand.
    root = str(Path(__file__).parent.parent.parent)
    paths = [path for path in sys.path if path and path != "."]
    search = list(dict.fromkeys([*paths, root]))
    return [sys.executable, "-c", _RUN, str(len(search)), *search, entry, *arguments]

"""Number of our modules that one search, one question and one indexed image run through.

A profiler hook sees each call of a function; modules that are only imported do not count, nor do those whose
functions run in other processes (OCR, PDF). What matters is that one act passes few rooms.
"""

import sys
import tempfile
import threading
from collections.abc import Callable
from types import FrameType
from typing import Annotated, Any

import typer
from typer.testing import CliRunner

from askpix.api.cli.main import app
from askpix.api.console.render import print_json, say
from askpix.api.demo import PICTURES
from askpix.core.errors import AskpixError


def modules_called(act: Callable[[], object]) -> set[str]:
    """Return the modules of ``askpix`` of which at least one function is called during ``act``."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            seen.add(frame.f_globals.get("__name__", ""))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {name for name in seen if name.startswith("askpix.")}


def modules_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="The names too, as JSON on standard output.")
    ] = False,
) -> None:
    """Modules that one search, one question and one indexed image call."""
    with tempfile.TemporaryDirectory(prefix="askpix-bench-") as folder:
        home = {"ASKPIX_HOME": folder, "ASKPIX_EMBEDDER": "mini", "ASKPIX_GENERATOR": "extractive"}
        receipt = str(next((PICTURES / "receipts").glob("*.jpg")))

        def command(*arguments: str) -> Callable[[], object]:
            def act() -> None:
                done = CliRunner().invoke(app, list(arguments), env=home)
                if done.exit_code:
                    raise AskpixError(
                        f"askpix {' '.join(arguments)} ended with {done.exit_code}: {done.output}"
                    )

            return act

        photos = str(PICTURES / "photos")
        command("index", photos, "--ocr", "off")()
        acts = {
            "search": command("search", "a dog on a beach"),
            "index": command("index", receipt),
            "ask": command("ask", "What is the total?"),
        }
        for name in ("search", "ask"):  # imports and caches of a first run are not the act
            command(*({"search": ("search", "cat"), "ask": ("ask", "Where is the cat?")}[name]))()
        found = {name: sorted(modules_called(act)) for name, act in acts.items()}
    if as_json:
        print_json(found)
    else:
        say(*(f"{name}: {len(modules)} modules" for name, modules in found.items()))

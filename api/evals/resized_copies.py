"""Images of a manifest at another size, as files that can be indexed."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from askpix.core.errors import AskpixError
from askpix.core.imaging.decode import ImageLimits
from askpix.ingest.formats.pages import open_page, read_content


def shrunk_copies(
    paths: Iterable[Path], side: int, folder: Path, *, limits: ImageLimits
) -> Mapping[Path, Path]:
    """Return the path of each image with a longer side of ``side``: its own when it is no larger.

    Copies are PNG, so that nothing but size is lost, named after the path's hash, and kept for the next time
    while the original is older. Raises ``BadImageError`` naming none, and ``AskpixError`` when ``folder``
    cannot be written.
    """
    found: dict[Path, Path] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            name = hashlib.sha256(str(path).encode()).hexdigest()[:12]
            copy = folder / f"{path.stem[:60]}-{name}.png"
            if copy.exists() and copy.stat().st_mtime_ns >= path.stat().st_mtime_ns:
                found[path] = copy
                continue
            image = open_page(read_content(path, limits=limits), None, limits=limits).image
            if max(image.size) <= side:
                found[path] = path
                continue
            scale = side / max(image.size)
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            part = copy.with_suffix(".part")
            image.resize(size, Image.Resampling.LANCZOS).save(part, "PNG")
            part.replace(copy)
            found[path] = copy
    except OSError as error:
        raise AskpixError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from error
    return found

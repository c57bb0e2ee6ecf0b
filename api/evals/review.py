"""``askpix eval make``: what is known of a collection's images, and the page to review queries on."""

import base64
import html
import io
import json
import os.path
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from askpix.core.errors import BadImageError
from askpix.core.types import ImageRecord
from askpix.evaluation.data.synthesize import Candidate, Known
from askpix.retrieval.text.gazetteer import gazetteer

if TYPE_CHECKING:
    from askpix.api.workspace.workspace import Workspace
    from askpix.ingest.catalog.catalog import Collection

_SIDE = 320
_TEMPLATE = Path(__file__).with_name("review_page.html")


def known_of(workspace: "Workspace", collection: "Collection", records: Sequence[ImageRecord]) -> list[Known]:
    """Return what the catalog knows of these images. Only images that are files of this machine."""
    ids = [record.id for record in records]
    abouts = workspace.catalog.notes.abouts(ids)
    lines = workspace.lines_of(collection)(ids)
    found = []
    for record in records:
        about = abouts.get(record.id)
        city = None
        if record.lat is not None and record.lon is not None:
            place, _ = gazetteer().locate(record.lat, record.lon)
            city = place.name if place else None
        written = (about.title, about.description) if about else ()
        found.append(
            Known(
                image=Path(record.uri),
                id=record.id,
                captions=tuple(text for text in written if text),
                lines=tuple(line.text for line in lines.get(record.id, ()) if line.confidence >= 0.9),
                taken_at=record.taken_at,
                city=city,
            )
        )
    return found


def manifest_lines(candidates: Sequence[Candidate], folder: Path) -> Iterator[str]:
    """A row each, as ``askpix.evaluation.data.manifest`` reads them; images are named from ``folder``."""
    for each in candidates:
        if each.image is None:
            row = {"absent": each.query, "source": each.kind}
        else:
            row = {"image": _from(each.image, folder), "query": each.query, "source": each.kind}
        yield json.dumps(row, ensure_ascii=False)


def review_page(
    candidates: Sequence[Candidate],
    folder: Path,
    show: Callable[[Candidate], Sequence[Image.Image]],
    *,
    title: str,
) -> str:
    """Return an HTML page that needs nothing else: each query with its image, or what is closest to an absent
    one.

    It saves a manifest that belongs into ``folder``. What images and files say is data in it, never markup.
    """
    rows = [
        {
            "query": each.query,
            "kind": each.kind,
            "image": _from(each.image, folder) if each.image else None,
            "shown": [_data(image) for image in show(each)],
        }
        for each in candidates
    ]
    # "</script>" in a file name must not end the script.
    data = json.dumps(rows, ensure_ascii=True).replace("<", "\\u003c")
    page = _TEMPLATE.read_text("utf-8").replace("{title}", html.escape(title))
    return page.replace("{rows}", data)


def image_shower(
    workspace: "Workspace",
    by_id: Mapping[str, ImageRecord],
    closest: Callable[[str], Sequence[ImageRecord]],
) -> Callable[[Candidate], list[Image.Image]]:
    """The image of a candidate, or those closest to an absent one; what cannot be opened is left out."""

    def show(candidate: Candidate) -> list[Image.Image]:
        records = [by_id[candidate.id]] if candidate.image else closest(candidate.query)
        found: list[Image.Image] = []
        for record in records:
            try:
                image: Any = workspace.image_of(record, _SIDE)
            except BadImageError:
                continue
            image.thumbnail((2 * _SIDE, _SIDE))
            found.append(image)
        return found

    return show


def _from(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def _data(image: Image.Image) -> str:
    held = io.BytesIO()
    image.convert("RGB").save(held, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"

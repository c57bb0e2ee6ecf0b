"""Make the sample pictures of ``askpix demo``: draw ours, and re-save the photos of others.

    python tools/draw_demo.py [--out FOLDER]          draws (Pillow only; the same pixels each time)
    python tools/draw_demo.py --photos SKIMAGE_DATA   re-saves the photos of scikit-image's `skimage/data`

Only photos whose source says CC0 or public domain are taken; NOTICE names each with its source's words.
"""

import argparse
from pathlib import Path

from demo_drawings.charts import draw_charts
from demo_drawings.receipts import draw_receipts
from demo_drawings.report import library_report
from demo_drawings.scenes import draw_scenes
from demo_drawings.screens import draw_screens
from PIL import Image

PICTURES = Path(__file__).resolve().parent.parent / "api" / "demo" / "pictures"
LONGEST_SIDE = 900

# File in scikit-image 0.26 -> our name.
PHOTOS = {
    "astronaut.png": "astronaut.jpg",
    "brick.png": "brick-wall.jpg",
    "camera.png": "man-with-camera.jpg",
    "cell.png": "cell-microscope.jpg",
    "chelsea.png": "cat.jpg",
    "clock_motion.png": "wall-clock.jpg",
    "coffee.png": "coffee-cup.jpg",
    "grass.png": "grass.jpg",
    "gravel.png": "gravel.jpg",
    "hubble_deep_field.jpg": "galaxies.jpg",
    "retina.jpg": "retina.jpg",
    "rocket.jpg": "rocket-launch.jpg",
}


def draw_all(out: Path) -> None:
    """Every drawn file, under its folder in ``out``."""
    for drawings in (draw_receipts(), draw_charts(), draw_screens(), draw_scenes()):
        for name, (picture, exif) in drawings.items():
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                # 256 colours are plenty for flat drawings and half the bytes.
                picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
            else:
                picture.save(path, quality=82, optimize=True, exif=exif or b"")
    (out / "documents").mkdir(parents=True, exist_ok=True)
    (out / "documents" / "library-report.pdf").write_bytes(library_report())


def save_photos(source: Path, out: Path) -> None:
    """The photos as JPEG without any metadata: their sources state no camera, date or place."""
    (out / "photos").mkdir(parents=True, exist_ok=True)
    for name, ours in PHOTOS.items():
        picture = Image.open(source / name).convert("RGB")
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        picture.save(out / "photos" / ours, quality=85, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--photos", type=Path)
    options = parser.parse_args()
    if options.photos:
        save_photos(options.photos, options.out)
    else:
        draw_all(options.out)


if __name__ == "__main__":
    main()

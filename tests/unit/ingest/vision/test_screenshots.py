import pytest

from askpix.ingest.vision.screenshots import is_screenshot, with_tag
from tests.support.fakes import record


@pytest.mark.parametrize(
    ("uri", "size", "camera", "expected"),
    [
        ("/p/Screenshot 2021-05-04 at 12.00.00.png", (800, 600), None, True),
        ("/p/Screenshot_20210504-120000_Chrome.jpg", (1080, 2400), None, True),
        ("C:\\p\\Screen Shot 2019.PNG", (10, 10), None, True),
        ("/p/Bildschirmfoto 2022-01-01.png", (1, 1), None, True),
        ("/p/Capture d’écran 2022.png", (1, 1), None, True),
        ("/p/IMG_0042.PNG", (1170, 2532), None, True),
        ("/p/IMG_0042.PNG", (2532, 1170), None, True),
        ("/p/IMG_0042.PNG", (1170, 2532), "Apple iPhone 12", False),
        ("/p/IMG_0042.JPG", (1170, 2532), None, False),
        ("/p/slide.png", (1920, 1200), None, False),
        ("/p/slide.png", (1920, 1081), None, False),
        ("/p/screenshots/cat.png", (640, 480), None, False),
        ("/p/sunscreen shotgun.png", (640, 480), None, False),
    ],
)
def test_screenshots_are_told_by_name_or_size(
    uri: str, size: tuple[int, int], camera: str | None, expected: bool
) -> None:
    assert is_screenshot(uri, width=size[0], height=size[1], camera=camera) is expected


def test_the_tag_is_added_once_and_never_to_pages() -> None:
    shot = record(1, uri="/p/Screenshot_1.png", tags=("a",))
    assert with_tag(shot).tags == ("a", "screenshot")
    assert with_tag(with_tag(shot)) == with_tag(shot)
    assert with_tag(shot, ("b",)).tags == ("b", "screenshot")
    assert with_tag(record(2, uri="/p/Screenshot_1.pdf", kind="page")).tags == ()
    assert with_tag(record(3, copies=("/x/screenshot.png",))).tags == ("screenshot",)
    plain = record(4)
    assert with_tag(plain) is plain

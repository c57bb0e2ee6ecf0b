"""Following a folder: which paths are indexed again, in bursts, on a real file system."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from askpix.ingest.sources.watch import follow, to_index
from tests.support.fakes import picture


def test_files_folders_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "photos"
    new = root / "trip"
    new.mkdir(parents=True)
    for name in ("a.jpg", "notes.txt", "scan", ".hidden.jpg", "trip/b.png"):
        (root / name).write_bytes(b"x")
    outside = tmp_path / "c.jpg"
    outside.write_bytes(b"x")

    def found(*names: str, prune: bool = False) -> list[str]:
        targets = to_index([root / name for name in names], [root], prune=prune)
        return [str(path.relative_to(tmp_path)) for path in targets]

    assert found("a.jpg") == ["photos/a.jpg"]
    assert found("trip", "trip/b.png") == ["photos/trip"]
    assert found("notes.txt", ".hidden.jpg", "@eaDir/x.jpg") == []
    assert found("scan") == ["photos"], "a file without an extension is looked at by the walk"
    assert found("gone.jpg") == []
    assert found("gone.jpg", prune=True) == ["photos"]
    assert found("trip/deep/gone.jpg", "a.jpg", prune=True) == ["photos/a.jpg", "photos/trip"]
    assert to_index([outside], [root], prune=True) == []
    assert to_index([root / "a.jpg", root / "trip" / "b.png"], [root / "a.jpg"], prune=False) == [
        root / "a.jpg"
    ]


def test_a_burst_is_one(tmp_path: Path) -> None:
    stop = threading.Event()
    bursts: list[list[Path]] = []

    def watch() -> None:
        for targets in follow([tmp_path], stop=stop, quiet_ms=300):
            bursts.append(targets)

    thread = threading.Thread(target=watch)
    thread.start()
    time.sleep(0.5)
    for number in range(200):
        (tmp_path / f"{number:03}.jpg").write_bytes(b"x")
    deadline = time.monotonic() + 20
    while sum(map(len, bursts)) < 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    stop.set()
    thread.join(10)
    assert {path.name for targets in bursts for path in targets} == {f"{n:03}.jpg" for n in range(200)}
    assert len(bursts) <= 4


def test_the_command_indexes_what_comes_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    picture("red").save(photos / "red.png")
    command = [
        sys.executable,
        "-m",
        "askpix.api.cli.main",
        "index",
        str(photos),
        "--watch",
        "--prune",
        "--ocr",
        "off",
        "--json",
    ]
    environment = {**os.environ, "ASKPIX_HOME": str(tmp_path / "home")}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stderr
    told: queue.Queue[str] = queue.Queue()
    reading = threading.Thread(target=lambda: [told.put(line) for line in process.stderr or ()], daemon=True)
    reading.start()
    try:
        first = ""
        while not first.endswith("\n}\n"):
            first += process.stdout.readline()
        assert json.loads(first)["added"] == 1
        while "watching" not in told.get(timeout=60):
            pass
        time.sleep(0.5)  # the system is asked to tell only now
        picture("blue").save(photos / "blue.png")
        report = json.loads(process.stdout.readline())
        assert (report["added"], report["images"]) == (1, 2)
        (photos / "red.png").unlink()
        report = json.loads(process.stdout.readline())
        assert (report["removed"], report["images"]) == (1, 1)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        process.stdout.close()
        process.stderr.close()

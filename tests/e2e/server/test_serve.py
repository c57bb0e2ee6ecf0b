"""The real server in its own process: uploads, search, ask, other commands beside it, kills, ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from PIL import Image

from askpix.api.client.client import Client
from askpix.api.schemas.results import Answer, SearchResult
from askpix.api.workspace.server_file import read_note, running_server
from askpix.core.errors import AskpixError, NotFoundError
from tests.conftest import ROOT
from tests.support.hostile import BAD
from tests.support.service import jpeg, served, until_ready

PICTURES = ROOT / "api" / "demo" / "pictures"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "home"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    with served(home) as (address, _):
        until_ready(address)
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    """With a collection ``album`` of a cat, a receipt and a copy of the cat."""
    client = Client(url)
    client.create_collection("album")
    [sent] = client.upload("album", [PICTURES / "photos/cat.jpg", PICTURES / "receipts/hotel-alpenblick.jpg"])
    assert [file.duplicate for file in sent.files] == [False, False]
    seen: list[str] = []
    job = client.wait(sent.job, on_progress=lambda each: seen.append(each.state))
    assert job.state == "done" and job.result and job.result["added"] == 2, job
    assert seen
    return client


def askpix(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASKPIX_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "askpix.api.cli.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_words_and_images_find(client: Client) -> None:
    found = client.search("album", "a cat", top_k=1)
    assert found.matched and found.hits[0].uri == "upload:cat.jpg"
    again = client.search("album", image=PICTURES / "photos/cat.jpg", top_k=1)
    assert again.hits[0].id == found.hits[0].id
    assert client.search("album", image=found.hits[0].id, top_k=1).hits[0].uri == "upload:cat.jpg"


def test_doubles_are_one_hit_or_each_their_own_and_a_second_look_is_asked_for(
    client: Client, tmp_path: Path
) -> None:
    with Image.open(PICTURES / "photos/cat.jpg") as cat:
        for number, side in enumerate((400, 396, 392)):
            cat.convert("RGB").resize((side, side)).save(tmp_path / f"{number}.jpg", quality=90 - number)
    client.create_collection("doubles")
    client.index("doubles", [*tmp_path.glob("*.jpg"), PICTURES / "receipts/hotel-alpenblick.jpg"])
    one, *others = client.search("doubles", "a cat", top_k=9, all=True).hits
    assert one.duplicates == 2 and len(others) == 1
    assert len(client.search("doubles", "a cat", top_k=9, all=True, collapse=False).hits) == 4
    spread = client.search("doubles", "a cat", top_k=2, all=True, collapse=False, diverse=0.1).hits
    assert spread[1].uri == "upload:hotel-alpenblick.jpg"
    with pytest.raises(AskpixError, match="page"):  # the collection has no page embedder
        client.search("doubles", "a cat", rerank="pages")
    with pytest.raises(AskpixError, match=r"between 0 and 1|less than or equal to 1"):
        client.search("doubles", "a cat", diverse=2)


TOTAL = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


def test_a_image_becomes_words_an_object_and_verdicts(client: Client) -> None:
    (receipt,) = client.search("album", "hotel receipt total", top_k=1).hits
    for image in (receipt.id, PICTURES / "receipts/hotel-alpenblick.jpg"):
        found = client.extract(image, TOTAL)
        assert found["total"] == 429.0
        proof = found["evidence"]["total"]
        assert "429.00" in proof["quote"] and len(proof["box"]) == 4
    said = client.caption([PICTURES / "photos/coffee-cup.jpg", receipt.id])
    assert [each.index for each in said] == [0, 1] and "espresso" in said[0].caption.lower()
    checks = ["the text 'Hotel Alpenblick' is there", "the text 'Zebra' is there"]
    findings = client.audit(receipt.id, checks, accessibility=False)
    assert [each.verdict for each in findings] == ["pass", "fail"]


@pytest.mark.parametrize(
    ("route", "body", "says"),
    [
        ("caption", {"images": ["data:image/png;base64,AAAA"]}, "not an image"),
        ("caption", {"images": ["data:image/png;base64,"]}, "empty"),
        ("caption", {"images": ["data:image/png,plain"]}, "base64"),
        ("caption", {"images": ["00000000-0000-0000-0000-000000000000"]}, "no image"),
        ("caption", {"images": []}, "at least 1"),
        ("extract", {"image": "x", "schema": {"type": "array"}}, "must describe an object"),
        (
            "extract",
            {"image": "x", "schema": {**TOTAL, "properties": {"a": {"pattern": "(a+)+$"}}}},
            "pattern",
        ),
        ("extract", {"image": "x", "schema": {**TOTAL, "$ref": "http://x/"}}, "ref"),
        (
            "audit",
            {"image": "x", "checks": ["ok"], "generator": "openai-compatible:m@http://127.0.0.1:9"},
            "",
        ),
    ],
)
def test_what_cannot_be_described_is_one_line(
    client: Client, route: str, body: dict[str, Any], says: str
) -> None:
    with pytest.raises(AskpixError) as found:
        client.call("POST", f"/v1/{route}", body)
    assert says in str(found.value) and "\n" not in str(found.value)


def test_a_image_is_classified(client: Client) -> None:
    cat = client.search("album", "a cat", top_k=1).hits[0].id
    [classified] = client.classify([cat], ["rocket", "cat", "receipt"])
    assert classified.labels[0].label == "cat"


def test_an_answer_comes_whole_and_as_a_stream(client: Client) -> None:
    question = "What is the total on the hotel receipt?"
    answer = client.ask("album", question)
    assert answer.answered and "429.00" in answer.answer
    assert answer.citations[0].uri == "upload:hotel-alpenblick.jpg" and answer.citations[0].box
    found, *deltas, checked = client.ask_stream("album", question)
    assert isinstance(found, SearchResult) and isinstance(checked, Answer) and deltas
    assert "429.00" in "".join(each for each in deltas if isinstance(each, str))


def test_near_and_exact_duplicates_are_told(client: Client, tmp_path: Path) -> None:
    from PIL import Image

    small = tmp_path / "small.jpg"
    with Image.open(PICTURES / "photos/cat.jpg") as cat:
        cat.resize((300, 200)).save(small, quality=70)
    [sent] = client.upload("album", [PICTURES / "photos/cat.jpg", small])
    assert [file.duplicate for file in sent.files] == [True, False]
    job = client.wait(sent.job)
    assert job.result
    near = job.result["files"][1]["near"]
    assert [match["uri"] for match in near] == ["upload:cat.jpg"], job
    client.delete_image(job.result["files"][1]["ids"][0])
    assert client.search("album", "a cat", all=True).hits[0].uri == "upload:cat.jpg"


def test_hostile_files_fail_one_by_one(client: Client, tmp_path: Path) -> None:
    names = [name for name in BAD if "bomb" not in name][:12]
    paths = []
    for number, name in enumerate(names):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(BAD[name]())
        paths.append(path)
    good = tmp_path / "good.jpg"
    good.write_bytes(jpeg("red"))
    client.create_collection("hostile")
    report = client.index("hostile", [*paths, good])
    assert report.added == 1 and len(report.failed) == len(names)
    assert all(failure.path.startswith("upload:") for failure in report.failed)
    assert client.delete_collection("hostile") == 1


def test_other_commands_work_through_the_server(client: Client, home: Path, tmp_path: Path) -> None:
    (tmp_path / "red.jpg").write_bytes(jpeg("red"))
    done = askpix(home, "index", str(tmp_path), "--collection", "beside", "--ocr", "off", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["added"] == 1, done.stderr
    assert client.search("beside", all=True, where={"path": "*.jpg"}).hits[0].uri == str(tmp_path / "red.jpg")
    found = askpix(home, "search", "a cat", "--collection", "album", "--json")
    assert json.loads(found.stdout)["hits"][0]["id"] == client.search("album", "a cat").hits[0].id
    dated = askpix(home, "search", "photos in 2018", "--collection", "album", "--json")
    assert "older version" not in (json.loads(dated.stdout)["reason"] or ""), "the store is of this version"
    assert "429.00" in askpix(home, "ask", "What is the total?", "--collection", "album").stdout
    gone = askpix(home, "collections", "delete", "beside", "--yes")
    assert gone.returncode == 0, gone.stderr
    with pytest.raises(NotFoundError):
        client.search("beside", "red")
    second = askpix(home, "serve", "--port", "0")
    assert second.returncode == 1 and "served already" in second.stderr and "Traceback" not in second.stderr


def test_openais_client_chats_streams_and_embeds(client: Client, url: str) -> None:
    openai = OpenAI(base_url=f"{url}/v1", api_key="any")
    assert "askpix/album" in [model.id for model in openai.models.list()]
    asked = [{"role": "user", "content": "What is the total on the hotel receipt?"}]
    whole = openai.chat.completions.create(model="askpix/album", messages=asked)  # type: ignore[arg-type]
    message = whole.choices[0].message
    assert message.content and "429.00" in message.content and message.annotations
    assert message.annotations[0].url_citation.url.startswith(url)
    parts = openai.chat.completions.create(model="askpix/album", messages=asked, stream=True)  # type: ignore[call-overload]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in parts if chunk.choices)
    assert text == message.content
    said = [
        *asked,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": "the date?"},
    ]
    second = openai.chat.completions.create(model="askpix/album", messages=said).choices[0].message  # type: ignore[arg-type]
    assert second.annotations and message.annotations
    assert second.annotations[0].url_citation.title == message.annotations[0].url_citation.title
    counted = openai.chat.completions.create(
        model="askpix/album",
        messages=[{"role": "user", "content": "How many receipts do I have?"}],
    )
    assert "1 receipt, by the words read in them" in (counted.choices[0].message.content or "")
    import base64

    cat = base64.b64encode((PICTURES / "photos/cat.jpg").read_bytes()).decode()
    rows = openai.embeddings.create(
        model="askpix/album", input=["a cat", "a receipt", f"data:image/jpeg;base64,{cat}"]
    )
    a, b, c = (row.embedding for row in rows.data)
    assert sum(x * y for x, y in zip(a, c, strict=True)) > sum(x * y for x, y in zip(b, c, strict=True))
    looked = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": ""},
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{cat}"}},
            ],
        }
    ]
    seen = openai.chat.completions.create(model="askpix/album", messages=looked)  # type: ignore[arg-type]
    assert seen.choices[0].message.content
    openai.close()


def test_mcps_client_searches_asks_and_sees(client: Client, url: str, home: Path) -> None:
    import anyio
    from mcp import Client as Agent
    from mcp import StdioServerParameters

    async def talk(server: object) -> None:
        async with Agent(server) as agent:  # type: ignore[arg-type]
            names = {tool.name for tool in (await agent.list_tools()).tools}
            assert {"search", "ask", "extract", "get_image", "list_collections"} <= names
            found = await agent.call_tool("search", {"text": "a cat", "collection": "album"})
            assert found.structured_content
            hit = found.structured_content["hits"][0]
            assert hit["uri"].endswith("cat.jpg")
            shown = await agent.call_tool("get_image", {"image_id": hit["id"]})
            assert shown.content[0].type == "image"
            answer = await agent.call_tool("ask", {"question": "What is the total?", "collection": "album"})
            assert "429.00" in str(answer.structured_content)
            wrong = await agent.call_tool("search", {"text": "x", "collection": "nowhere"})
            assert wrong.is_error and "nowhere" in str(wrong.content)

    anyio.run(talk, f"{url}/mcp")
    stdio = StdioServerParameters(
        command=sys.executable,
        args=["-m", "askpix.api.cli.main", "mcp"],
        env={**os.environ, "ASKPIX_HOME": str(home), "PYTHONPATH": str(ROOT)},
    )
    anyio.run(talk, stdio)


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    colours = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
    paths = []
    for number in range(48):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(jpeg(colours[number % 8], size=(80 + number, 60)))
        paths.append(path)
    jobs: list[str] = []
    for attempt in range(3):
        with served(home, ASKPIX_OCR="off") as (url, process):
            client = until_ready(url)
            if attempt == 0:
                client.create_collection("a")
            part = paths[attempt * 16 : attempt * 16 + 16]
            jobs += [each.job for half in (part[:8], part[8:]) for each in client.upload("a", half)]
            time.sleep(0.05 * attempt)
            process.send_signal(signal.SIGKILL)
            process.wait(30)
        assert read_note(home) is not None and running_server(home) is None
    with served(home, ASKPIX_OCR="off") as (url, process):
        client = until_ready(url)
        ended = [client.wait(job) for job in jobs]
        assert [job.state for job in ended] == ["done"] * 6
        assert len(list(client.images("a"))) == 48
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    assert read_note(home) is None
    assert "48 images, each with one vector set" in askpix(home, "doctor").stdout


@pytest.mark.slow
def test_sigterm_puts_the_running_job_back_and_cancel_ends_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    paths = sorted((PICTURES / "receipts").iterdir())
    with served(home) as (url, process):
        client = until_ready(url)
        client.create_collection("a")
        job = client.upload("a", paths)[0].job
        while client.job(job).state == "queued":
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with served(home) as (url, _):
        client = until_ready(url)
        later = client.upload("a", [PICTURES / "photos/cat.jpg"])[0].job
        assert client.cancel(later).state in ("cancelled", "running")
        assert client.wait(job).state == "done"
        assert client.wait(later).state == "cancelled"


def test_a_public_address_needs_a_key(tmp_path: Path) -> None:
    done = askpix(tmp_path / "home", "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1 and "make a key first" in done.stderr

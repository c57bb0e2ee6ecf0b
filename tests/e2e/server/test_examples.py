"""The examples and both clients, against a real server: what LangChain, LlamaIndex and programs get."""

import asyncio
import doctest
import os
import runpy
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from askpix.api.client.client import AsyncClient, Client
from askpix.api.demo import PICTURES
from askpix.api.schemas.results import SearchResult
from askpix.core.errors import (
    BadImageError,
    BadQueryError,
    IndexMismatchError,
    LimitError,
    ModelUnavailableError,
    NotFoundError,
)
from tests.conftest import ROOT
from tests.support.service import jpeg, served, until_ready


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("examples") / "home"
    limits = {"ASKPIX_MAX_UPLOAD_FILES": "4", "ASKPIX_MAX_UPLOAD_BYTES": str(2**20)}
    with served(home, ASKPIX_GENERATOR="extractive", **limits) as (address, _):
        client = until_ready(address)
        client.create_collection("album")
        names = ("photos/cat.jpg", "photos/rocket-launch.jpg", "receipts/hotel-alpenblick.jpg")
        client.index("album", [PICTURES / name for name in names])
        yield address


def example(name: str) -> Any:
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["AskpixRetriever"]


def test_langchain_gets_documents(url: str) -> None:
    retriever = example("langchain_retriever")(url=url, collection="album", top_k=1)
    [document] = retriever.invoke("Hotel Alpenblick receipt")
    assert "ALPENBLICK" in document.page_content.upper()
    assert document.metadata["uri"] == "upload:hotel-alpenblick.jpg"
    with urllib.request.urlopen(document.metadata["thumbnail"]) as answer:
        assert answer.headers["content-type"].startswith("image/")
    assert retriever.invoke('"no such words anywhere"') == [], "nothing matches: nothing to answer from"
    filtered = example("langchain_retriever")(url=url, collection="album", where={"kind": "page"})
    assert filtered.invoke("a cat") == []


def test_llama_index_gets_image_nodes(url: str) -> None:
    retriever = example("llama_index_retriever")(url, "album", top_k=1)
    [found] = retriever.retrieve("Hotel Alpenblick receipt")
    assert "ALPENBLICK" in found.node.text.upper() and found.score > 0
    with urllib.request.urlopen(found.node.image_url) as answer:
        assert answer.read()
    assert retriever.retrieve('"no such words anywhere"') == []


def test_the_client_speaks_of_one_image(url: str, tmp_path: Path) -> None:
    client = Client(url)
    [cat] = client.classify([PICTURES / "photos/cat.jpg"], ["cat", "rocket"])
    assert cat.labels[0].label == "cat"
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    read = client.extract(PICTURES / "receipts/hotel-alpenblick.jpg", schema)
    digits = "".join(filter(str.isdigit, read["evidence"]["total"]["quote"]))
    assert f"{read['total']:.2f}".replace(".", "") in digits
    answer = client.ask("album", "What is the total on the Hotel Alpenblick receipt?", top_k=2)
    assert answer.answered and answer.citations
    first, *_ = client.ask_stream("album", "What is the total on the Hotel Alpenblick receipt?")
    assert isinstance(first, SearchResult)
    with pytest.raises(BadQueryError):
        client.search("album", "a cat", top_k=0)
    with pytest.raises(BadImageError):
        client.search("album", image=b"no picture at all")
    with pytest.raises(ModelUnavailableError):
        client.search("album", "a cat", rerank="nothing:here")


def test_the_examples_in_docstrings_run(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PICTURES)
    for kind in (Client, AsyncClient):
        text = (kind.__doc__ or "").replace("http://127.0.0.1:8000", url)
        names: dict[str, Any] = {"Client": Client, "AsyncClient": AsyncClient}
        example = doctest.DocTestParser().get_doctest(text, names, kind.__name__, None, None)
        assert example.examples
        assert doctest.DocTestRunner().run(example).failed == 0


def test_uploads_fit_a_server_with_low_limits(url: str, tmp_path: Path) -> None:
    """More files, and more bytes, than it takes at once: it refuses before all of them have come."""
    for number in range(10):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg("red", size=(80 + number, 60)) + os.urandom(300_000))
    with Client(url) as client:
        client.create_collection("many")
        assert client.index("many", tmp_path).added == 10 and len(client.jobs(limit=4)) == 4
        images = list(client.images("many"))
        assert len(images) == 10 and client.collection("many").images == 10
        assert (
            client.image_file(images[0].id) == (tmp_path / images[0].uri.removeprefix("upload:")).read_bytes()
        )
        (tmp_path / "large.jpg").write_bytes(jpeg("blue") + os.urandom(2**21))
        with pytest.raises(LimitError, match="over the limit"):
            client.upload("many", [tmp_path / "large.jpg"])
        with pytest.raises(IndexMismatchError, match=r"already \(request \w+\)"):
            client.create_collection("many")
        assert client.delete_collection("many") == 10
        with pytest.raises(NotFoundError):
            client.collection("many")


def test_both_clients_get_the_same(url: str) -> None:
    async def ask() -> tuple[Any, ...]:
        async with AsyncClient(url) as client:
            [image, *_] = [each async for each in client.images("album", order="newest")]
            [job] = await client.jobs(state="done", limit=1)
            states = [each.state async for each in client.events(job.id)]
            vectors = await client.embeddings(["a cat", PICTURES / "photos/cat.jpg"], model="askpix/album")
            found = await client.search("album", image=Image.open(PICTURES / "photos/cat.jpg"), top_k=1)
            names = tuple(each.name for each in await client.collections())
            return image, job, states, vectors.tolist(), found.hits, names, await client.models()

    image, job, states, vectors, hits, names, models = asyncio.run(ask())
    assert states == ["done"] and "askpix/album" in models
    with Client(url) as client:
        assert client.image(image.id).sha256 == image.sha256 and client.job(job.id) == job
        again = client.embeddings(["a cat", PICTURES / "photos/cat.jpg"], model="askpix/album")
        assert again.tolist() == vectors and again.shape[0] == 2
        assert client.search("album", "a cat", top_k=1).hits[0].id == hits[0].id
        assert tuple(each.name for each in client.collections()) == names
        assert client.health() == "ok" and client.health(ready=True) == "ready"
        assert Image.open(BytesIO(client.thumbnail(image.id))).format == "JPEG"

"""The examples, against a real server: what LangChain and LlamaIndex get."""

import runpy
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from askpix.api.client.client import Client
from askpix.api.demo import PICTURES
from askpix.core.errors import BadQueryError
from tests.conftest import ROOT
from tests.support.service import served, until_ready


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("examples") / "home"
    with served(home, ASKPIX_GENERATOR="extractive") as (address, _):
        client = until_ready(address)
        client.create_collection("album")
        names = ("photos/cat.jpg", "photos/rocket-launch.jpg", "receipts/hotel-alpenblick.jpg")
        client.wait(client.upload("album", [PICTURES / name for name in names])["job"])
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


def test_the_client_speaks_of_one_picture(url: str, tmp_path: Path) -> None:
    client = Client(url)
    [cat] = client.classify([PICTURES / "photos/cat.jpg"], ["cat", "rocket"])
    assert cat["labels"][0]["label"] == "cat"
    schema = {"type": "object", "properties": {"total": {"type": "number"}}}
    read = client.extract(PICTURES / "receipts/hotel-alpenblick.jpg", schema)
    digits = "".join(filter(str.isdigit, read["evidence"]["total"]["quote"]))
    assert f"{read['total']:.2f}".replace(".", "") in digits
    answer = client.ask("album", "What is the total on the Hotel Alpenblick receipt?", top_k=2)
    assert answer["answered"] and answer["citations"]
    [(name, _), *_] = client.ask_stream("album", "What is the total on the Hotel Alpenblick receipt?")
    assert name == "hits"
    with pytest.raises(BadQueryError):
        client.search("album", "a cat", top_k=0)

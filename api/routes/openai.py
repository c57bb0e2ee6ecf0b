"""OpenAI's endpoints: models, embeddings, chat completions. A collection is the model ``askpix/NAME``."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.search import image_of
from askpix.api.routes.views import answer_out
from askpix.api.schemas.openai import (
    PREFIX,
    ChatIn,
    EmbeddingsIn,
    Question,
    chunks,
    completion,
    history_of,
    is_image,
    message_of,
    question_of,
)
from askpix.api.security.principal import Principal
from askpix.api.security.problems import problem_of
from askpix.api.service.service import Service
from askpix.api.services.ask import ask_collection
from askpix.core.errors import AskpixError, NotFoundError
from askpix.core.types import Answer
from askpix.ingest.catalog.models import Collection
from askpix.retrieval.embedders.base import Embedder

router = APIRouter(prefix="/v1", tags=["openai"])
_SHIPPED = ("auto", "mini")
_TOP_K = 5


@router.get("/models", response_model=dict[str, Any], responses=problems())
def models(service: TheService, who: Who) -> Any:
    """The collections of this key as models to chat with, and the embedders of these."""
    mine = who.collections(service.catalog)
    rows = [_model(PREFIX + each.name, int(each.created_at.timestamp())) for each in mine]
    rows += [_model(each, 0) for each in sorted({"mini", *(c.embedder for c in mine)})]
    return {"object": "list", "data": rows}


@router.get("/models/{model_id:path}", response_model=dict[str, Any], responses=problems(404))
def model(model_id: str, service: TheService, who: Who) -> Any:
    """Show one model."""
    if model_id.startswith(PREFIX):
        collection = _collection(service, who, model_id)
        return _model(PREFIX + collection.name, int(collection.created_at.timestamp()))
    _embedder(service, who, model_id)
    return _model(model_id, 0)


@router.post("/embeddings", response_model=dict[str, Any], responses=problems(404))
def embeddings(body: EmbeddingsIn, service: TheService, who: Who) -> Any:
    """Texts and images (`data:image/...;base64,...`) in one space, as rows of length one."""
    embedder = _embedder(service, who, body.model)
    inputs = body.inputs
    rows = np.zeros((len(inputs), embedder.dim), np.float32)
    texts = [i for i, item in enumerate(inputs) if not is_image(item)]
    if texts:
        rows[texts] = embedder.embed_texts([inputs[i] for i in texts])
    for i, item in enumerate(inputs):
        if i not in texts:  # one at a time: a decoded image is large
            rows[i] = embedder.embed_images([image_of(service, item)])[0]
    data = [{"object": "embedding", "index": i, "embedding": _row(r, body)} for i, r in enumerate(rows)]
    words = sum(len(inputs[i].split()) for i in texts)
    return {
        "object": "list",
        "model": body.model,
        "data": data,
        "usage": {"prompt_tokens": words, "total_tokens": words},
    }


@router.post(
    "/chat/completions",
    response_model=dict[str, Any],
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "A `chat.completion`; with `stream` chunks of it.",
        },
        **problems(404, 502),
    },
)
def chat(body: ChatIn, request: Request, service: TheService, who: Who) -> Any:
    """Answers the last message of the user from the collection `askpix/NAME`, with citations.

    It may lean on the messages before it ("and in 2019?", "who issued it?"): images are searched anew. A
    image in the message is searched by. `annotations` name image, quote and box of each citation.
    """
    collection = _collection(service, who, body.model)
    question = question_of(body.messages)
    base_url = str(request.base_url).rstrip("/")
    name = PREFIX + collection.name
    if not body.stream:
        answer = answer_out(service, who, _answer(service, collection, question, body))
        message = message_of(answer, base_url=base_url)
        return completion(name, message, answer)
    with_usage = bool((body.stream_options or {}).get("include_usage"))

    def stream() -> Iterator[bytes]:
        try:
            answer = answer_out(service, who, _answer(service, collection, question, body))
            message = message_of(answer, base_url=base_url)
            for chunk in chunks(name, message, answer, with_usage=with_usage):
                yield f"data: {json.dumps(chunk)}\n\n".encode()
        except AskpixError as error:
            failure = problem_of(error)
            told = {"message": failure["detail"], "type": "askpix_error", "code": failure["status"]}
            yield f"data: {json.dumps({**failure, 'error': told})}\n\n".encode()
        yield b"data: [DONE]\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _answer(service: Service, collection: Collection, question: Question, body: ChatIn) -> Answer:
    given = question.image or ""
    image = image_of(service, given) if given.startswith("data:") else None
    events = ask_collection(
        service.workspace,
        collection,
        question.text or "Which image is like this one?",
        top_k=_TOP_K,
        generator=None,
        history=history_of(body.messages),
        image=image,
        image_id=given if given and image is None else None,
    )
    return next(each for each in events if isinstance(each, Answer))


def _collection(service: Service, who: Principal, model_id: str) -> Collection:
    if not model_id.startswith(PREFIX):
        raise NotFoundError(f"no model {model_id!r}; a collection is the model '{PREFIX}NAME'")
    return who.collection(service.catalog, model_id.removeprefix(PREFIX))


def _embedder(service: Service, who: Principal, model_id: str) -> Embedder:
    """Return an embedder that ships or is in use: other ids name files of the server."""
    if model_id.startswith(PREFIX):
        return service.workspace.embedder(_collection(service, who, model_id).embedder)
    used = {each.embedder for each in who.collections(service.catalog)}
    if model_id not in (*_SHIPPED, *used):
        raise NotFoundError(f"no model {model_id!r}")
    return service.workspace.embedder(model_id)


def _row(row: Any, body: EmbeddingsIn) -> Any:
    if body.encoding_format == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    return row.tolist()


def _model(model_id: str, created: int) -> dict[str, Any]:
    return {"id": model_id, "object": "model", "created": created, "owned_by": "askpix"}

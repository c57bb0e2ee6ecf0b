"""Ask: the whole answer, or a stream of what was found, words as they are written, and the checked answer."""

import logging
from collections.abc import Iterator

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from askpix.api.routes import TheService, Who, problems
from askpix.api.routes.views import answer_out, answered, event, result_out
from askpix.api.schemas import results
from askpix.api.schemas.requests import AskIn
from askpix.api.security.principal import Principal
from askpix.api.security.problems import problem, problem_of
from askpix.api.service.service import Service
from askpix.api.services.ask import ask_collection
from askpix.core.errors import AskpixError, BadQueryError
from askpix.core.types import Answer, Message, SearchResult
from askpix.generation.generators.base import Piece

router = APIRouter(prefix="/v1/collections", tags=["ask"])
_SAFE_GENERATORS = (None, "auto", "extractive")
_log = logging.getLogger("askpix.service")


@router.post(
    "/{name}/ask",
    response_model=results.Answer,
    responses={
        200: {
            "content": {"text/event-stream": {}},
            "description": "The answer; with `stream` the events `hits`, `delta` ..., `answer` (or `error`).",
        },
        **problems(404, 502),
    },
)
def ask(name: str, body: AskIn, service: TheService, who: Who) -> Response:
    """The answer cites the image and the place in it, or says that nothing holds it."""
    collection = who.collection(service.catalog, name)
    if body.generator not in (*_SAFE_GENERATORS, service.settings.generator):
        who.need("admin")  # others may cost money, or name addresses for the server to call
    if not body.question.strip():
        raise BadQueryError("the question is empty; ask something about your images")
    events = ask_collection(
        service.workspace,
        collection,
        body.question,
        top_k=body.top_k,
        generator=body.generator,
        history=[Message(turn.role, turn.content) for turn in body.history],
    )
    if not body.stream:
        answer = next(each for each in events if isinstance(each, Answer))
        return answered(answer_out(service, who, answer))
    return StreamingResponse(
        _stream(service, who, events),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _stream(
    service: Service, who: Principal, events: Iterator[SearchResult | Piece | Answer]
) -> Iterator[bytes]:
    try:
        for each in events:
            if isinstance(each, Piece):
                yield event("delta", {"text": each.text})
            elif isinstance(each, Answer):
                yield event("answer", answer_out(service, who, each))
            else:
                yield event("hits", result_out(service, who, each))
    except AskpixError as error:
        yield event("error", problem_of(error))
    except Exception:  # noqa: BLE001 - the status line is long sent: the stream must say that it failed
        _log.exception("a stream failed")
        yield event("error", problem(500, "internal error; the server's log has it"))

"""``askpix ask``: an answer from the pictures, with citations."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from api.wiring import Workspace
    from core.types import Answer
    from ingest.catalog import Collection


def run_ask(
    workspace: "Workspace", collection: "Collection", question: str, *, top_k: int, generator: str | None
) -> "Answer":
    """Retrieve, generate, check."""
    from generation.answer import answer_question
    from retrieval.query import parse

    writer = workspace.generator(generator)
    workspace.recent(collection).add(question)
    with workspace.open_retriever(collection) as retriever:
        return answer_question(
            question,
            retrieve=lambda text, k: retriever.retrieve(parse(text), top_k=k),
            lines_of=workspace.lines_of(collection),
            generator=writer,
            top_k=top_k,
        )


def ask_command(
    question: Annotated[str, typer.Argument(help="A question in plain words.")],
    collection: Annotated[str, typer.Option(help="Where to look.")] = "default",
    top_k: Annotated[int, typer.Option(min=1, max=50, help="How many pictures may be consulted.")] = 5,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who writes the answer; see `askpix models`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Ask a question: the answer cites the picture and the place in it, or says that nothing holds it."""
    from api.cli.render import answer_json, print_json, show_answer
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    answer = run_ask(workspace, workspace.collection(collection), question, top_k=top_k, generator=generator)
    if as_json:
        print_json(answer_json(answer))
    else:
        show_answer(answer)


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("ask")(ask_command)

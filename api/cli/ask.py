"""``askpix ask``: an answer from the images, with citations."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from askpix.api.console.query_command import QueryCommand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from askpix.api.workspace.workspace import Workspace
    from askpix.core.types import Answer, Message
    from askpix.ingest.catalog.catalog import Collection

_REMEMBERED = 40
"""Turns of a chat that later questions may lean on."""


def run_ask(
    workspace: "Workspace",
    collection: "Collection",
    question: str,
    *,
    top_k: int,
    generator: str | None,
    history: "Sequence[Message]" = (),
    second_look: bool | None = None,
) -> "Answer":
    """Retrieve, generate, check; or count, where the whole collection is asked about."""
    from askpix.api.services.ask import ask_collection
    from askpix.core.types import Answer

    events = ask_collection(
        workspace,
        collection,
        question,
        top_k=top_k,
        generator=generator,
        history=history,
        second_look=second_look,
    )
    return next(each for each in events if isinstance(each, Answer))


def run_chat(
    workspace: "Workspace",
    collection: "Collection",
    questions: "Iterable[str]",
    *,
    top_k: int,
    generator: str | None,
    second_look: bool | None = None,
) -> "Iterator[Answer]":
    """An answer to each question, which may lean on those before; those that fail are told and left out."""
    from askpix.api.console.render import hint
    from askpix.api.console.text import printable
    from askpix.core.errors import AskpixError
    from askpix.core.types import Message

    history: list[Message] = []
    for question in questions:
        if not question.strip():
            continue
        try:
            answer = run_ask(
                workspace,
                collection,
                question,
                top_k=top_k,
                generator=generator,
                history=history,
                second_look=second_look,
            )
        except AskpixError as error:
            hint(f"error: {printable(str(error))}")
            continue
        yield answer
        history += [Message("user", question), Message("assistant", answer.text)]
        del history[:-_REMEMBERED]


def run_plan(
    workspace: "Workspace", collection: "Collection", question: str, *, top_k: int, generator: str | None
) -> dict[str, "Any"]:
    """Return what would be sent, and what it would cost at most; nothing is sent."""
    from dataclasses import asdict

    from askpix.api.services.search import open_searcher
    from askpix.generation.answering.aggregate import GENERATOR, WHY
    from askpix.generation.answering.answer import plan_question
    from askpix.generation.questions.aggregate import read_archive_question

    if read_archive_question(question):
        return {"generator": GENERATOR, "why": WHY, "sent": [], "input_tokens": 0, "cost_usd": 0.0}
    writer, why = workspace.choose_generator(generator)
    with open_searcher(workspace, collection) as searcher:
        result, plan = plan_question(
            question,
            retrieve=searcher.find,
            lines_of=workspace.lines_of(collection),
            generator=writer,
            top_k=top_k,
        )
    uris = {number: hit.record.uri for number, hit in enumerate(result.hits, start=1)}
    return {
        "generator": writer.model_id,
        "why": why,
        "sent": [{**asdict(sent), "uri": uris[sent.number]} for sent in plan.sent] if plan else [],
        "input_tokens": plan.tokens if plan else 0,
        "image_tokens": plan.image_tokens if plan else 0,
        "cost_usd": writer.price(plan) if plan else 0.0,
    }


def ask_command(
    question: Annotated[str | None, typer.Argument(help="A question in plain words.")] = None,
    collection: Annotated[str, typer.Option(help="Where to look.")] = "default",
    top_k: Annotated[int, typer.Option(min=1, max=50, help="How many images may be consulted.")] = 5,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who writes the answer; see `askpix models`.")
    ] = None,
    second_look: Annotated[
        bool | None,
        typer.Option(
            "--second-look/--no-second-look",
            help="Let the model look again, closely, at what the words read do not bear.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent and its price; send nothing.")
    ] = False,
    chat: Annotated[
        bool, typer.Option("--chat", help="Go on asking: a question a line, which may lean on those before.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON on standard output; with --chat a line for each answer.")
    ] = False,
) -> None:
    """Ask a question: the answer cites the image and the place in it, or says that nothing holds it."""
    from askpix.api.console.render import hint, print_json, show_answer
    from askpix.api.schemas.results import answer_result
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    if question is None and not chat:
        raise typer.BadParameter("ask something, or take --chat")
    if chat and dry_run:
        raise typer.BadParameter("--dry-run plans one question; leave --chat out")
    workspace = Workspace(load_settings())
    target = workspace.collection(collection)
    if chat:
        answers = run_chat(
            workspace,
            target,
            lines(question),
            top_k=top_k,
            generator=generator,
            second_look=second_look,
        )
        for answer in answers:
            show_turn(answer, as_json=as_json)
        return
    assert question is not None
    if dry_run:
        plan = run_plan(workspace, target, question, top_k=top_k, generator=generator)
        if as_json:
            print_json(plan)
        else:
            show_plan(plan)
        return
    answer = run_ask(workspace, target, question, top_k=top_k, generator=generator, second_look=second_look)
    if as_json:
        print_json(answer_result(answer))
    else:
        show_answer(answer)
        hint(f"by {answer.generator}: {answer.generator_why}")


def lines(first: str | None) -> "Iterator[str]":
    """The questions of a chat: the first, then a line each from standard input until it ends."""
    import sys

    if first is not None:
        yield first
    asks = sys.stdin.isatty()
    if asks:
        typer.echo("Ask on; an empty line ends it.", err=True)
    while True:
        if asks:
            typer.echo("> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line or (asks and not line.strip()):
            return
        yield line.rstrip("\n")


def show_turn(answer: "Answer", *, as_json: bool) -> None:
    """An answer of a chat: for a person, or as one line of JSON."""
    import sys

    from askpix.api.console.render import hint, show_answer
    from askpix.api.console.text import printable
    from askpix.api.schemas.results import answer_result, to_json_bytes

    if as_json:
        sys.stdout.write(to_json_bytes(answer_result(answer)).decode() + "\n")
    else:
        if answer.understood:
            hint(f"understood as: {printable(answer.understood)}")
        show_answer(answer)
    sys.stdout.flush()


def show_plan(plan: dict[str, "Any"]) -> None:
    """A plan for a person."""
    from askpix.api.console.render import say, short
    from askpix.api.console.text import printable

    say(f"{plan['generator']}: {plan['why']}")
    for sent in plan["sent"]:
        size = (
            f" {sent['width']} x {sent['height']}, {sent['tokens']} tokens" if sent["how"] != "text" else ""
        )
        lines = f"{sent['lines']} of {sent['of_lines']} lines of text"
        say(f"  [{sent['number']}] {printable(short(sent['uri']))}: {sent['how']}{size}; {lines}")
    cost = "price not known" if plan["cost_usd"] is None else f"at most ${plan['cost_usd']:.4f}"
    say(f"about {plan['input_tokens']} tokens in, {cost}; nothing was sent")


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("ask", cls=QueryCommand)(ask_command)

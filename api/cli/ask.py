"""``askpix ask``: an answer from the pictures, with citations."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.wiring import Workspace
    from core.types import Answer, SearchResult
    from ingest.catalog import Collection
    from retrieval.retriever import Retriever


def _reads(
    workspace: "Workspace", collection: "Collection", retriever: "Retriever"
) -> "Callable[[str, int], SearchResult]":
    """Searches by a question as ``askpix search`` understands it."""
    from api.rerank_wiring import searcher
    from api.understanding import understand

    kept = workspace.folder(collection) / "known.json"
    search = searcher(workspace, retriever, None)
    return lambda text, k: search(understand(text, store=retriever.store, kept=kept), top_k=k)


def run_ask(
    workspace: "Workspace", collection: "Collection", question: str, *, top_k: int, generator: str | None
) -> "Answer":
    """Retrieve, generate, check; or count, where the whole collection is asked about."""
    from api.asking import ask_collection
    from core.types import Answer

    events = ask_collection(workspace, collection, question, top_k=top_k, generator=generator)
    return next(each for each in events if isinstance(each, Answer))


def run_plan(
    workspace: "Workspace", collection: "Collection", question: str, *, top_k: int, generator: str | None
) -> dict[str, "Any"]:
    """What would be sent, and what it would cost at most; nothing is sent."""
    from dataclasses import asdict

    from generation.answer import plan_question
    from generation.generator import Planner

    writer, why = workspace.choose_generator(generator)
    if not isinstance(writer, Planner):
        return {"generator": writer.model_id, "why": why, "sent": [], "input_tokens": 0, "cost_usd": 0.0}
    with workspace.open_retriever(collection) as retriever:
        result, plan = plan_question(
            question,
            retrieve=_reads(workspace, collection, retriever),
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
    question: Annotated[str, typer.Argument(help="A question in plain words.")],
    collection: Annotated[str, typer.Option(help="Where to look.")] = "default",
    top_k: Annotated[int, typer.Option(min=1, max=50, help="How many pictures may be consulted.")] = 5,
    generator: Annotated[
        str | None, typer.Option(metavar="ID", help="Who writes the answer; see `askpix models`.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent and its price; send nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Ask a question: the answer cites the picture and the place in it, or says that nothing holds it."""
    from api.cli.render import answer_json, hint, print_json, show_answer
    from api.settings import load_settings
    from api.wiring import Workspace

    workspace = Workspace(load_settings())
    target = workspace.collection(collection)
    if dry_run:
        plan = run_plan(workspace, target, question, top_k=top_k, generator=generator)
        if as_json:
            print_json(plan)
        else:
            show_plan(plan)
        return
    answer = run_ask(workspace, target, question, top_k=top_k, generator=generator)
    if as_json:
        print_json(answer_json(answer))
    else:
        show_answer(answer)
        hint(f"by {answer.generator}: {answer.generator_why}")


def show_plan(plan: dict[str, "Any"]) -> None:
    """A plan for a person."""
    from api.cli.render import say, short
    from api.cli.text import printable

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
    app.command("ask")(ask_command)

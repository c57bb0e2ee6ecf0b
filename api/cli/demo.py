"""``askpix demo``: the main job on the sample pictures, start to finish, in one go."""

import shlex
import time
from typing import Annotated, Any

import typer

COLLECTION = "demo"


def demo_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything found, as JSON on standard output.")
    ] = False,
) -> None:
    """Index the sample pictures, search them four times, ask them three questions."""
    from askpix.api.cli.ask import run_ask
    from askpix.api.cli.index import show_report
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, print_json, say, short, show_answer, show_result
    from askpix.api.demo import PICTURES, QUESTIONS, SEARCHES
    from askpix.api.schemas.serialize import answer_json, result_json
    from askpix.api.services.index import run_index
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.imaging.decode import open_image
    from askpix.retrieval.query.parser import parse

    def step(text: str) -> None:
        if not as_json:
            say("", text)

    began = time.perf_counter()
    workspace = Workspace(load_settings())
    step(f"$ askpix index {short(str(PICTURES))} --collection {COLLECTION}")
    if not as_json:
        hint("looking at each picture, then reading the words in them (half a minute the first time)")
    collection = workspace.open_or_create(COLLECTION)
    with ProgressLine() as progress:
        report = run_index(workspace, collection, [PICTURES], ocr="on", prune=True, on_progress=progress)
    if not as_json:
        show_report(report)
    searches: list[dict[str, Any]] = []
    with workspace.open_retriever(collection) as retriever:
        for search in SEARCHES:
            words = ["askpix", "search", *([search.text] if search.text else [])]
            picture = None
            if search.image:
                words += ["--image", short(str(PICTURES / search.image))]
                picture = open_image(PICTURES / search.image, limits=workspace.limits).image
            step(f"# {search.shows}")
            step(f"$ {shlex.join(words)} --collection {COLLECTION}")
            result = retriever.retrieve(parse(search.text), image=picture, top_k=3)
            searches.append(result_json(result))
            if not as_json:
                show_result(result)
    answers: list[dict[str, Any]] = []
    for question in QUESTIONS:
        step(f"# {question.shows}")
        step(f"$ askpix ask {shlex.quote(question.text)} --collection {COLLECTION}")
        answer = run_ask(workspace, collection, question.text, top_k=5, generator="extractive")
        answers.append(answer_json(answer))
        if not as_json:
            show_answer(answer)
    if as_json:
        print_json({"index": report, "searches": searches, "answers": answers})
        return
    say(
        "",
        f"That took {time.perf_counter() - began:.0f} s. Now your own pictures:",
        "    askpix index ~/Pictures",
        '    askpix search "dog on a beach"',
        '    askpix ask "What is the total on the hotel receipt?"',
        "(`.venv/bin/askpix` when the environment is not active; everything is kept in "
        f"{short(str(workspace.settings.home))})",
    )


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("demo")(demo_command)

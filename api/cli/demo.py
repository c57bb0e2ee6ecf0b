"""``askpix demo``: the main job on the sample images, start to finish, in one go."""

import shlex
import time
from typing import Annotated

import typer

COLLECTION = "demo"


def demo_command(
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything found, as JSON on standard output.")
    ] = False,
) -> None:
    """Index the sample images, search them four times, ask them three questions."""
    from askpix.api.cli.ask import run_ask
    from askpix.api.cli.index import show_report
    from askpix.api.console.progress import ProgressLine
    from askpix.api.console.render import hint, print_json, say, short, show_answer, show_result
    from askpix.api.demo import PICTURES, QUESTIONS, SEARCHES
    from askpix.api.schemas.results import Answer, SearchResult, answer_result, search_result
    from askpix.api.services.index import run_index
    from askpix.api.services.search import search
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    def step(text: str) -> None:
        if not as_json:
            say("", text)

    began = time.perf_counter()
    workspace = Workspace(load_settings())
    step(f"$ askpix index {short(str(PICTURES))} --collection {COLLECTION}")
    if not as_json:
        hint("looking at each image, then reading the words in them (half a minute the first time)")
    collection = workspace.open_or_create(COLLECTION)
    with ProgressLine() as progress:
        report = run_index(workspace, collection, [PICTURES], ocr="on", prune=True, on_progress=progress)
    if not as_json:
        show_report(report)
    searches: list[SearchResult] = []
    for each in SEARCHES:
        words = ["askpix", "search", *([each.text] if each.text else [])]
        picture = PICTURES / each.image if each.image else None
        if picture:
            words += ["--image", short(str(picture))]
        step(f"# {each.shows}")
        step(f"$ {shlex.join(words)} --collection {COLLECTION} --top-k 3")
        result = search(workspace, collection, each.text, image=picture, top_k=3)
        searches.append(search_result(result))
        if not as_json:
            show_result(result)
    answers: list[Answer] = []
    for question in QUESTIONS:
        step(f"# {question.shows}")
        step(f"$ askpix ask {shlex.quote(question.text)} --collection {COLLECTION}")
        answer = run_ask(workspace, collection, question.text, top_k=5, generator="extractive")
        answers.append(answer_result(answer))
        if not as_json:
            show_answer(answer)
    if as_json:
        print_json({"index": report, "searches": searches, "answers": answers})
        return
    say(
        "",
        f"That took {time.perf_counter() - began:.0f} s. Now your own images:",
        "    askpix index ~/Pictures",
        '    askpix search "dog on a beach"',
        '    askpix ask "What is the total on the hotel receipt?"',
        "(`.venv/bin/askpix` when the environment is not active; everything is kept in "
        f"{short(str(workspace.settings.home))})",
    )


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("demo")(demo_command)

"""``askpix models``: what is in use, what to install, and installing it; the offer at the first run."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from askpix.api.services.install import InstallPlan, InstallReport
    from askpix.api.services.models import ModelInfo
    from askpix.api.workspace.workspace import Workspace

group = typer.Typer(
    invoke_without_command=True,
    help="What is in use, the one model worth installing here, and how; --all: every model that is known.",
)

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")]
_ASKED = 3
"""Times a question is put to somebody who answers neither yes nor no."""


@group.callback(invoke_without_command=True)
def models_command(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Every known model, and why one does not work here.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what is in use and the one model worth installing here; --all: everything known."""
    if context.invoked_subcommand is not None:
        return
    from askpix.api.console.render import print_json
    from askpix.api.services.models import in_use, recommended, survey
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    workspace = Workspace(load_settings())
    if as_json:
        print_json(survey(workspace))
    elif everything:
        _show_all(survey(workspace))
    else:
        _show_choice(in_use(workspace), recommended(workspace))


@group.command("install")
def install_command(
    name: Annotated[
        str,
        typer.Argument(metavar="best|vlm|NAME|ID", help="What suits this machine, or a model of the list."),
    ] = "best",
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Download a model, check it, and have it prove that it works here."""
    from askpix.api.console.render import hint, print_json
    from askpix.api.services.install import install, named_model, plan_install
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace
    from askpix.core.errors import BadQueryError

    workspace = Workspace(load_settings(), tell=hint)
    plan = plan_install(named_model(workspace.settings, name))
    if plan.missing_bytes and not yes and workspace.settings.download != "always":
        if not _on_terminal():
            raise BadQueryError(
                f"{_summary(plan)}: nobody can be asked here; say --yes, or set ASKPIX_DOWNLOAD=always"
            )
        if not _confirmed(f"{_summary(plan)}. Download?"):
            raise typer.Exit(1)
    try:
        report = install(workspace, plan)
    except KeyboardInterrupt:
        hint("stopped; the same command goes on where it stopped")
        raise
    if as_json:
        print_json(report)
    else:
        _show_installed(report)


@group.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(metavar="NAME|ID")], as_json: JsonOption = False
) -> None:
    """Delete a model's files from the cache that programs of this account share."""
    from askpix.api.console.render import print_json, say
    from askpix.api.services.install import remove
    from askpix.api.settings import load_settings
    from askpix.api.workspace.workspace import Workspace

    report = remove(Workspace(load_settings()), name)
    if as_json:
        print_json(report)
    else:
        say(f"removed {report.name}: {_size(report.freed_bytes)} are free again")


def offer(workspace: "Workspace", *, yes: bool = False, tell: "Callable[[str], None] | None" = None) -> None:
    """Offer a newcomer the embedder that suits the machine, once; whatever comes of it, work goes on after.

    Without a terminal nothing is downloaded, unless ASKPIX_DOWNLOAD is ``always`` or ``--yes`` was given: one
    line names the command, once. ``tell`` gets what is said; None writes it to standard error.
    """
    from askpix.api.console.render import hint
    from askpix.api.models.auto_select import hub_reachable
    from askpix.api.models.installed import Installations
    from askpix.api.services.install import install, offered, plan_install
    from askpix.core.errors import AskpixError

    tell = tell or hint
    model = offered(workspace.settings)
    if model is None:
        return
    unasked = yes or workspace.settings.download == "always"
    kept = Installations(workspace.settings.home)
    if not unasked and not _on_terminal():
        kept.answer()
        tell(
            f"a better search than that of mini, the small one: `askpix models install best` (about "
            f"{_size(model.bytes or 0)}, {model.licence})"
        )
        return
    if offline := hub_reachable():
        if unasked:
            tell(f"{model.name} is not downloaded ({offline}); going on with mini, the small one")
        return
    try:
        plan = plan_install(model)
        if not unasked and not _confirmed(f"better search, {_gain(plan)}: {_summary(plan)}. Download?"):
            kept.answer()
            tell("going on with mini, the small one; `askpix models install best` is there any time")
            return
        _show_installed(install(workspace, plan), to_errors=True)
    except AskpixError as error:
        tell(f"{error}; going on with mini, the small one")


def _confirmed(question: str) -> bool:
    """Ask on the terminal, yes by default; the end of input is a no."""
    for _ in range(_ASKED):
        sys.stderr.write(f"{question} [Y/n] ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        answer = line.strip().lower()
        if line and answer in ("", "y", "yes"):
            return True
        if not line or answer in ("n", "no"):
            return False
    return False


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _summary(plan: "InstallPlan") -> str:
    size = _size(plan.bytes)
    here = plan.bytes - plan.missing_bytes
    left = f" ({_size(plan.missing_bytes)} of it still missing)" if here and plan.missing_bytes else ""
    return f"{plan.model.name}, {size}{left}, {plan.model.licence}"


def _gain(plan: "InstallPlan") -> str:
    return "many languages" if "*" in plan.model.languages else "in English"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _show_installed(report: "InstallReport", *, to_errors: bool = False) -> None:
    from askpix.api.console.render import hint, say

    (hint if to_errors else say)(
        f"{report.name} works: {report.proof.found}",
        f"{_size(report.bytes)} in {report.path}",
        report.use,
    )


def _show_choice(used: "list[ModelInfo]", best: "ModelInfo | None") -> None:
    from askpix.api.console.render import say, table

    table(
        ("in use", "model", "languages", "notes"),
        [(model.role, model.name or model.id, model.languages, model.notes) for model in used],
    )
    say("")
    if best is None:
        say("Nothing in the list suits this machine better.")
    else:
        score = next((f"; {score.benchmark} {score.value:g} %" for score in best.scores), "")
        say(
            f"Better here: {best.name}, {best.notes}",
            f"  {best.languages}; about {_size(round((best.megabytes or 0) * 1e6))}, {best.licence}{score}",
            f"  askpix models install {best.name}",
        )
    say("", "`askpix models --all` shows the rest, with why each does not work here.")


def _show_all(models: "list[ModelInfo]") -> None:
    from askpix.api.console.render import table

    table(
        ("model", "role", "size", "licence", "languages", "published", "works", "id and notes"),
        [
            (
                model.name or model.id,
                model.role,
                _size(round(model.megabytes * 1e6)) if model.megabytes else "",
                model.licence,
                model.languages + (f" (weak: {', '.join(model.weak)})" if model.weak else ""),
                next((f"{score.benchmark} {score.value}" for score in model.scores), ""),
                "in use" if model.in_use else "yes" if model.usable else "no",
                f"{model.id}: {model.notes}" + (f". Not now: {model.reason}" if model.reason else ""),
            )
            for model in models
        ],
    )


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(group, name="models")

"""Words of a query that begin with a dash are no options."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from askpix.api.console.query_command import QueryCommand


def app() -> typer.Typer:
    made = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})

    def search(
        text: Annotated[str, typer.Argument()] = "",
        path: Annotated[str, typer.Option()] = "",
        as_json: Annotated[bool, typer.Option("--json")] = False,
    ) -> None:
        typer.echo(f"{text}|{path}|{as_json}")

    made.command(cls=QueryCommand)(search)
    return made


@pytest.mark.parametrize(
    ("args", "printed"),
    [
        (["-tag:Holiday", "--json"], "-tag:Holiday||True"),
        (["--json", "-#Holiday"], "-#Holiday||True"),
        (["-in:France not from 2018"], "-in:France not from 2018||False"),
        (["--path", "-x*", "-home"], "-home|-x*|False"),
        (["--json", "--", "-tag:x"], "-tag:x||True"),
        (["dogs", "--path=-a"], "dogs|-a|False"),
    ],
)
def test_a_word_with_a_dash_belongs_to_the_query(args: list[str], printed: str) -> None:
    result = CliRunner().invoke(app(), args)
    assert (result.exit_code, result.output.strip()) == (0, printed)


def test_help_and_unknown_options_are_options() -> None:
    assert "Usage" in CliRunner().invoke(app(), ["-h"]).output
    assert CliRunner().invoke(app(), ["--nothing"]).exit_code == 2

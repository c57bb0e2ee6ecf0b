"""Write the generated parts of the reference pages: settings, HTTP and command line, from the code itself.

.venv/bin/python tools/write_references.py build/reference     (`make docs` does it)
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic_core import PydanticUndefined

from askpix.api.server.app import create_app
from askpix.api.service.service import Service
from askpix.api.settings import Settings

Lines = Iterator[str]


def cell(text: object) -> str:
    """Return ``text`` as one cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def settings() -> Lines:
    """Yield a table of all settings, in the order of ``Settings``."""
    yield "| setting | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        if field.default is PydanticUndefined:
            shown = "your data folder"
        elif default is None or default == "":
            shown = ""
        else:
            shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
        choices = [value for value in get_args(field.annotation) if isinstance(value, str)]
        meaning = cell(field.description)
        if choices and not all(choice in meaning for choice in choices):
            meaning += " Values: " + ", ".join(f"`{choice}`" for choice in choices) + "."
        yield f"| `ASKPIX_{name.upper()}` | {shown} | {meaning} |"


def http(description: dict[str, Any]) -> Lines:
    """Yield a section for each operation of an OpenAPI description, by tag, after the responses of all."""
    operations = [
        (operation.get("tags", ["service"])[0], path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    anywhere = set.intersection(*(set(operation["responses"]) for *_, operation in operations))
    yield "| any operation may respond with | |"
    yield "|---|---|"
    for status in sorted(anywhere):
        yield f"| `{status}` | {cell(operations[0][3]['responses'][status]['description'])} |"
    for tag in dict.fromkeys(tag for tag, *_ in operations):
        yield f"\n## {tag}"
        for _, path, method, operation in (each for each in operations if each[0] == tag):
            yield f"\n### {method.upper()} {path}\n"
            yield operation.get("description") or operation.get("summary", "")
            yield from _parameters(operation.get("parameters", []))
            yield from _body(operation.get("requestBody", {}), description)
            answers = [
                f"`{status}` {_returned(answer) or cell(answer['description']).rstrip('.')}"
                for status, answer in operation["responses"].items()
                if status not in anywhere
            ]
            yield "\nResponses: " + "; ".join(answers) + "."


def _parameters(parameters: list[dict[str, Any]]) -> Lines:
    if parameters:
        yield "\n| parameter | type | |"
        yield "|---|---|---|"
    for each in parameters:
        needed = ", required" if each.get("required") else ""
        words = each.get("description") or each["schema"].get("description", "")
        yield f"| `{each['name']}` ({each['in']}{needed}) | {_type(each['schema'])} | {cell(words)} |"


def _body(body: dict[str, Any], description: dict[str, Any]) -> Lines:
    for kind, content in body.get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = description["components"]["schemas"].get(name, schema)
        yield f"\nBody, `{kind}`:"
        if fields := schema.get("properties", {}):
            yield "\n| field | type | default | |"
            yield "|---|---|---|---|"
        for field, its in fields.items():
            default = "required" if field in schema.get("required", []) else its.get("default")
            plain = default is None or isinstance(default, dict | list)
            shown = (
                ""
                if plain or default == ""
                else default
                if default == "required"
                else f"`{json.dumps(default)}`"
            )
            yield f"| `{field}` | {_type(its)} | {cell(shown)} | {cell(its.get('description', ''))} |"
        for example in schema.get("examples", []):
            yield f"\n```json\n{json.dumps(example)}\n```"


def _returned(answer: dict[str, Any]) -> str:
    """Return the name of an answer's schema; errors all have the same."""
    names = (
        content.get("schema", {}).get("$ref", "").rpartition("/")[2]
        for kind, content in answer.get("content", {}).items()
        if "problem" not in kind
    )
    return " ".join(f"`{name}`" for name in names if name)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


def openapi(home: Path) -> dict[str, Any]:
    """Return what the service says of itself; no model is loaded for it."""
    description: dict[str, Any] = create_app(Service(Settings(home=home))).openapi()
    return description


def commands() -> Lines:
    """Yield what Typer writes of the commands, without its title."""
    typer = Path(sys.executable).with_name("typer")
    command = [typer, "askpix.api.cli.main", "utils", "docs", "--name", "askpix"]
    yield from subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1:]


def write(folder: Path) -> None:
    """Write ``settings.md``, ``http.md`` and ``command-line.md`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        description = openapi(Path(home))
    parts = {"settings": settings(), "http": http(description), "command-line": commands()}
    for name, lines in parts.items():
        (folder / f"{name}.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))

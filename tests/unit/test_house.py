"""House rules as tests: what the documents say is so, and modules stay readable."""

import ast
import re
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from askpix.api.settings import Settings
from tests.conftest import ROOT

PACKAGES = ("core", "retrieval", "ingest", "generation", "evaluation", "api")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
README = (ROOT / "README.md").read_text("utf-8")
MAX_LINES = 400


def test_no_foreign_distribution_ships_one_of_our_names() -> None:
    """Our folders are top-level names: an installed package with one of them would shadow ours."""
    for package in PACKAGES:
        owners = set(packages_distributions().get(package, [])) - {"askpix"}
        assert not owners, f"{owners} also ship a top-level {package!r}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_modules_say_what_they_are_and_stay_short(module: Path) -> None:
    source = (ROOT / module).read_text("utf-8")
    tree = ast.parse(source)
    assert ast.get_docstring(tree), f"{module} has no docstring"
    assert source.count("\n") <= MAX_LINES, f"{module} is over {MAX_LINES} lines: would two nouns be clearer?"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_what_is_public_has_a_docstring(module: Path) -> None:
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    protocols = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(getattr(base, "id", "") == "Protocol" for base in node.bases)
    }
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or node.name in protocols, f"{module}: {node.name}"


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] != "api"], ids=str)
def test_nothing_below_the_doors_prints_or_exits(module: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("print", "sys.exit", "exit", "os._exit"), f"{module}: {name}"
            assert name not in ("os.getenv", "os.environ.get"), f"{module} reads the environment"


def test_the_readme_maps_every_module() -> None:
    shown = set(re.findall(r"^\s+(?:[\w/]+/)?(\w+\.(?:py|txt))\b", README, re.MULTILINE))
    named = set(re.findall(r"\b(\w+)\.py\b", README))
    missing = [str(m) for m in MODULES if m.name != "__init__.py" and m.stem not in named]
    assert not missing, f"the README's map lacks {missing}"
    stems = {m.stem for m in MODULES} | {path.stem for path in (ROOT / "tools").glob("*.py")}
    stems |= {path.stem for path in (ROOT / "tests").glob("*.py")}
    assert not {name for name in named if name not in stems}, "the README's map names what is not there"
    assert shown


def test_every_setting_is_in_the_readme_and_the_example() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        variable = f"ASKPIX_{name.upper()}"
        assert f"`{variable}`" in README, f"the README's table lacks {variable}"
        assert f"{variable}=" in example, f".env.example lacks {variable}"
        if name != "home":
            default = field.default
            shown = "" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
            shown = shown.lower() if isinstance(default, bool) else shown
            assert f"#{variable}={shown}\n" in example, variable
    listed = set(re.findall(r"ASKPIX_(\w+)=", example)) | set(re.findall(r"`ASKPIX_(\w+)`", README))
    assert {name.lower() for name in listed} == set(Settings.model_fields)


def test_no_path_of_one_machine_is_in_the_sources() -> None:
    for module in MODULES:
        text = (ROOT / module).read_text("utf-8")
        assert not re.search(r"(?<![\w.])/(?:work|root|home/\w+|tmp/exp)/", text.replace("/home/ann/", "")), (
            module
        )

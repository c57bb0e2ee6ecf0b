"""What holds for the whole code base: one import name, no clocks in tests, settings that are documented."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from askpix.api.settings import Settings
from tests.conftest import ROOT

ROOMS = ("core", "retrieval", "ingest", "generation", "evaluation", "api")
MODULES = sorted(path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py"))
OURS = [*MODULES, *(path.relative_to(ROOT) for name in ("benchmarks", "tests", "tools", "examples")
                    for path in sorted((ROOT / name).rglob("*.py")))]  # fmt: skip
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)


def imports(module: Path) -> set[str]:
    """The modules that a file imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_no_other_distribution_ships_our_name() -> None:
    assert set(packages_distributions().get("askpix", [])) <= {"askpix"}


def test_every_room_is_reached_through_the_one_name() -> None:
    links = {path.name: path for path in (ROOT / "askpix").iterdir() if path.is_symlink()}
    assert set(links) == set(ROOMS)
    for name, link in links.items():
        assert link.readlink() == Path("..", name), "relative, so that a checkout can lie anywhere"


def test_nothing_imports_a_room_by_its_bare_name() -> None:
    for module in OURS:
        bare = {name for name in imports(module) if name.split(".")[0] in ROOMS}
        assert not bare, f"{module} imports {bare}"


def test_no_module_of_ours_is_loaded_under_a_bare_name() -> None:
    """With every module imported: none twice, once as ``askpix.x.y`` and once as ``x.y``."""
    code = (
        "import importlib, pkgutil, sys, askpix\n"
        "for found in pkgutil.walk_packages(askpix.__path__, 'askpix.'):\n"
        "    if 'migrations' not in found.name and 'alembic' not in found.name:\n"
        "        importlib.import_module(found.name)\n"
        f"bare = [name for name in sys.modules if name.split('.')[0] in {ROOMS!r}]\n"
        "print(len([name for name in sys.modules if name.startswith('askpix.')]), bare)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    count, _, bare = done.stdout.strip().partition(" ")
    assert int(count) > 300 and bare == "[]"


@pytest.mark.parametrize(("given", "told"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_onnx_runtime_is_told_not_to_report_before_it_is_loaded(given: dict[str, str], told: str) -> None:
    """From 1.32 on its wheels send events to their maker; where a person asked for them, they stay."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    code = "import askpix, os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    done = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment | given, text=True)
    assert done.split() == [told, "False"]


def test_modules_say_what_they_are() -> None:
    for module in MODULES:
        assert ast.get_docstring(ast.parse((ROOT / module).read_text("utf-8"))), module


def test_nothing_below_api_prints_exits_or_reads_the_environment() -> None:
    forbidden = {"print", "sys.exit", "exit", "os._exit", "os.getenv", "os.environ.get"}
    for module in (m for m in MODULES if m.parts[0] != "api"):
        for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) not in forbidden, f"{module}: {ast.unparse(node)}"


def test_the_root_is_computed_in_one_place() -> None:
    """Whoever starts a child by a path of his own puts the wrong folder first in its search path."""
    for module in MODULES:
        if module != Path("core/subprocesses.py"):
            source = (ROOT / module).read_text("utf-8")
            assert "parent.parent" not in source and ".parents[" not in source, module


def test_no_test_imports_another() -> None:
    for module in (m for m in OURS if m.parts[0] == "tests"):
        own = ".".join(module.with_suffix("").parts)
        for name in imports(module) - {own}:
            assert not name.startswith(("tests.unit", "tests.e2e")), f"{module} imports {name}"


def test_no_test_asserts_a_time_of_the_clock() -> None:
    """On a busy machine it fails for nothing; a ``timeout`` mark ends what hangs, a fake clock measures."""
    took = re.compile(r"time\.(?:perf_counter|monotonic|process_time|time)\(\) - ")
    for module in (m for m in OURS if m.parts[0] == "tests"):
        for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
            if isinstance(node, ast.Assert):
                assert not took.search(ast.unparse(node.test)), f"{module}: {node.lineno}"


def test_the_architecture_page_names_every_package() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    packages = {module.parts[:2] for module in MODULES if len(module.parts) == 3}
    missing = {name for package in packages if f"`{(name := '.'.join(package))}`" not in page}
    assert not missing


def test_every_setting_has_a_description_and_is_in_the_example() -> None:
    """The documentation's table of settings is written from the descriptions."""
    example = (ROOT / ".env.example").read_text("utf-8")
    for name, field in Settings.model_fields.items():
        variable = f"ASKPIX_{name.upper()}"
        assert field.description, f"{variable} has no description"
        assert f"{variable}=" in example, f".env.example lacks {variable}"
        if name != "home":
            default = field.default
            shown = "" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
            shown = shown.lower() if isinstance(default, bool) else shown
            assert f"#{variable}={shown}\n" in example, variable
    assert {name.lower() for name in re.findall(r"ASKPIX_(\w+)=", example)} == set(Settings.model_fields)


def test_the_documentation_names_no_setting_that_is_not_there() -> None:
    known = {f"ASKPIX_{name.upper()}" for name in Settings.model_fields}
    of_tests = {"ASKPIX_CHROMIUM"}
    for page in PAGES:
        named = set(re.findall(r"\bASKPIX_[A-Z_]+[A-Z]\b", page.read_text("utf-8"))) - {"ASKPIX_NAME"}
        assert named <= known | of_tests, page


def test_the_links_of_readme_and_docs_lead_somewhere() -> None:
    """Those of the site are also checked when it is built; these are read in the repository too."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
            assert link.startswith("http") or (page.parent / link).exists(), f"{page}: {link}"


def test_the_readme_is_read_in_five_minutes() -> None:
    assert (ROOT / "README.md").stat().st_size <= 12 * 1024


def test_no_path_of_one_machine_is_in_the_sources() -> None:
    for module in (m for m in OURS if m.parts[0] != "tests"):
        text = (ROOT / module).read_text("utf-8").replace("/home/ann/", "")
        assert not re.search(r"(?<![\w.])/(?:work|root|home/\w+|tmp/exp)/", text), module

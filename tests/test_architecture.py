"""The rules of the house: who may import whom, what is public, how fast the front door opens."""

import ast
import importlib
import json
import os
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import llm_bridge
import sharpening

ROOT = Path(__file__).parent.parent
OURS = ("sharpening", "llm_bridge")


def imported(tree: ast.AST) -> list[tuple[str, str | None]]:
    """Every (module, name or None) that a tree imports, at any depth, import_module("literal") included."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, None) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                found.append((str(node.args[0].value), None))
    return found


def private_uses(tree: ast.AST) -> list[str]:
    """Names with a leading underscore that a tree takes from our packages; dunder names are public."""

    def is_private(name):
        return name.startswith("_") and not name.startswith("__")

    bad, bound = [], set()
    for module, name in imported(tree):
        if module.split(".")[0] in OURS:
            bad += [f"{module}:{name}" for part in (*module.split("."), name or "") if is_private(part)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                if (module or alias.name).split(".")[0] in OURS:
                    bound.add(alias.asname or alias.name.split(".")[0])
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = node.value
            while isinstance(base, ast.Attribute):
                base = base.value
            if isinstance(base, ast.Name) and base.id in bound:
                bad.append(f"{ast.unparse(node)}")
    return bad


def snippets() -> dict[str, str]:
    """Python that a user reads: tests, notebooks' code cells, documentation examples and fenced blocks."""
    found = {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "tests").rglob("*.py")}
    found |= {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "docs").rglob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [
            cell["source"] for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"
        ]
        text = "\n".join(source if isinstance(source, str) else "".join(source) for source in cells)
        found[str(path.relative_to(ROOT))] = re.sub(r"(?m)^\s*[%!].*$", "", text)
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for number, block in enumerate(re.findall(r"(?ms)^```python[^\n]*\n(.*?)^```", path.read_text())):
            found[f"{path.relative_to(ROOT)} block {number}"] = block
    return found


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_the_rules_below_see_what_they_forbid():
    """The checks are code too: each must catch a planted offence."""
    tree = ast.parse(
        "def f():\n    import torch.nn\n    __import__('trl')\n    importlib.import_module('datasets')"
    )
    assert {module.split(".")[0] for module, _ in imported(tree)} == {"torch", "trl", "datasets"}
    assert private_uses(ast.parse("from sharpening.collapse import _first"))
    assert private_uses(ast.parse("from sharpening._hidden import x"))
    assert private_uses(ast.parse("import sharpening as s\ns.collapse._first(1)"))
    assert not private_uses(ast.parse("from sharpening import __version__\nself._x = sharpening"))
    assert detours(ast.parse("from sharpening.population import Population"))
    assert not detours(ast.parse("from sharpening import Population"))


def test_the_import_contracts_hold():
    """Layers, no circle, no torch in the core: `[tool.importlinter]` in pyproject.toml, as `make lint` reads it."""
    done = run([Path(sys.executable).with_name("lint-imports")])
    assert done.returncode == 0, done.stdout[-2000:]


def public_home(name: str) -> str | None:
    """The face that exports this name, if one does."""
    return next((face.__name__ for face in (sharpening, llm_bridge) if name in face.__all__), None)


def detours(tree: ast.AST) -> list[str]:
    """Imports from deep inside a package of names that its face exports."""
    return [
        f"{module}.{name}: import it from {home}"
        for module, name in imported(tree)
        if module and name and "." in module and (home := public_home(name)) == module.split(".")[0]
        if getattr(importlib.import_module(home), name, None)
        is getattr(importlib.import_module(module), name, object())
    ]


def test_tests_notebooks_and_docs_use_public_names():
    """No name with a leading underscore; what a face exports is imported from the face; and where users read,
    from packages only, never from a file inside. The page on extending shows files of the packages themselves.
    """
    offences = []
    read = {where: text for where, text in snippets().items() if not where.startswith("docs/extending")}
    for where, text in read.items():
        tree = ast.parse(text)
        offences += [f"{where}: {offence}" for offence in private_uses(tree) + detours(tree)]
        for module, name in imported(tree):
            if module in OURS and name and not name.startswith("__"):
                face = importlib.import_module(module)
                is_package = (ROOT / module / name / "__init__.py").exists()
                if not (is_package or name in face.__all__ or where.startswith("tests")):
                    offences.append(f"{where}: {module} does not export {name}")
            if module.split(".")[0] in OURS and not where.startswith(
                ("tests", "docs/hooks", "docs/extending")
            ):
                if not (ROOT.joinpath(*module.split(".")) / "__init__.py").exists():
                    offences.append(f"{where}: {module} is a file inside a package")
    assert offences == []


def test_every_module_has_a_docstring():
    bare = [
        str(path.relative_to(ROOT))
        for package in OURS
        for path in sources(package)
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert bare == []


def test_importing_a_face_loads_nothing_heavy():
    code = (
        "import sys, sharpening, llm_bridge; print(*sorted({'torch', 'transformers', 'trl', 'jax', 'matplotlib'} &"
        " set(sys.modules)))"
    )
    assert run([sys.executable, "-c", code]).stdout.split() == []


def test_using_every_public_name_still_loads_no_torch():
    code = (
        "import sys, sharpening; [getattr(sharpening, n) for n in sharpening.__all__]; print('torch' in"
        " sys.modules)"
    )
    assert run([sys.executable, "-c", code]).stdout.strip() == "False"


def documented() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))


def test_public_names_have_docstrings_and_a_docs_entry():
    pages, offences = documented(), []
    for face in (sharpening, llm_bridge):
        for name in face.__all__:
            thing = getattr(face, name)
            if isinstance(thing, types.ModuleType):
                continue
            if callable(thing) and not (thing.__doc__ or "").strip():
                offences.append(f"{face.__name__}.{name} has no docstring")
            if callable(thing) and (thing.__doc__ or "").startswith(f"{name}("):
                offences.append(f"{face.__name__}.{name} has only dataclass's automatic docstring")
            if not re.search(rf"(?m)(^\s+- {name}$|^::: {face.__name__}[\w.]*\.{name}$)", pages):
                offences.append(f"{face.__name__}.{name} is on no page of docs/api")
    assert offences == []


def test_public_names_are_importable_and_unique():
    for face in (sharpening, llm_bridge):
        assert len(set(face.__all__)) == len(face.__all__) > 0
        assert set(face.__all__) <= set(dir(face))
        inside = {found.name for found in pkgutil.iter_modules(face.__path__)}
        assert inside & set(face.__all__) <= {"plots", "testing", "exact"}, "a name that is also a module's"


MOVED = (
    ("llm_bridge.monitor", "CollapseMonitor"),
    ("llm_bridge.forecasting", "forecast_model"),
    ("llm_bridge.settings", "RunSettings"),
    ("llm_bridge.train", "measure"),
    ("llm_bridge.rewards", "majority_reward"),
    ("llm_bridge.results", "Measurement"),
    ("llm_bridge.calibration.survival", "FailureTime"),
    ("sharpening.mean_field", "critical_size"),
    ("sharpening.verification_schedule", "cheapest_schedule"),
)
"""Names that earlier documentation promised, and where it promised them."""


def test_names_that_were_promised_elsewhere_still_work_with_a_note():
    for module, name in MOVED:
        sys.modules.pop(module, None)
        with pytest.warns(DeprecationWarning, match=f"{module} is now"):
            former = importlib.import_module(module)
        home = sys.modules[getattr(former, name).__module__]
        assert home.__name__ != module and getattr(former, name) is getattr(home, name)
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            getattr(former, "nothing")  # noqa: B009


def run(command):
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def fastest(arguments, limit, tries=5):
    """Seconds of processor time, the best of at most five runs: the claim is about the program, not about a busy
    machine.
    """
    script = Path(sys.executable).with_name("sharpening")
    command = (
        [str(script)]
        if script.exists()
        else [sys.executable, "-c", "from llm_bridge.cli import main; main()"]
    )
    times = []
    while len(times) < tries and min(times, default=limit) >= limit:
        start = os.times()
        done = run([*command, *arguments])
        now = os.times()
        spent = now.children_user - start.children_user + now.children_system - start.children_system
        times.append(spent)
    return done, min(times)


def test_help_answers_within_a_second():
    done, seconds = fastest(["--help"], limit=1.0)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("forecast", "measure", "compare"))
    assert seconds < 1.0


@pytest.mark.parametrize(
    "arguments",
    [
        ["forecast", "--rollouts", "1"],
        ["forecast", "--reward", "no-such-reward"],
        ["measure", "--criterion", "no-such-criterion"],
        ["forecast", "/no/such/model"],
        ["forecast", "--no-such-option"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_bad_usage_is_told_within_three_seconds(arguments):
    done, seconds = fastest(arguments, limit=3.0)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.strip()
    assert seconds < 3.0

"""Rules of the code that no other tool checks; see the layers below.

Imports run one way::

    schema ← broker, pipelines ← publisher, manager, consumer ← cli

Lazy imports within functions count like all others.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAYERS = {
    "schema": 0,
    "broker": 1,
    "pipelines": 1,
    "publisher": 2,
    "manager": 2,
    "consumer": 2,
    "cli": 3,
}
"""A package may import itself and what stands in a lower layer."""

MAX_LINES = 350
"""Of a source file; longer ones hold more than one concept."""

GRAB_BAGS = {"utils", "util", "helpers", "misc", "common", "tools"}

FORBIDDEN_IN_SCIENCE = (
    "sqlalchemy", "pika", "tianyu.schema", "tianyu.broker", "tianyu.publisher", "pathlib", "os",
    "io", "shutil", "tempfile", "astropy.io", "tianyu.pipelines.fits",
)  # fmt: skip
"""Science sees arrays: no database, no broker, no files."""

FILE_CALLS = {"open", "tofile", "fromfile", "memmap", "loadtxt", "savetxt", "genfromtxt"}
FILE_CALLS_OF_NUMPY = {"load", "save", "savez", "savez_compressed"}
BUNDLED_TABLES = {"IERS_B"}
"""Constants that astropy carries along as files: the orientation of the Earth."""


@dataclass(frozen=True)
class Source:
    """One source file, parsed."""

    path: Path
    package: str
    text: str
    tree: ast.Module

    @property
    def name(self):
        """Return the path as the repository knows it."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self):
        """Return the dotted name under which it is imported."""
        parts = self.path.relative_to(ROOT / self.package).with_suffix("").parts
        return ".".join(parts)


def _sources() -> list[Source]:
    found = []
    for package in LAYERS:
        for path in sorted((ROOT / package / "tianyu").rglob("*.py")):
            # Migrations are records of what was done; they are never rewritten.
            if "versions" not in path.parts:
                text = path.read_text(encoding="utf-8")
                found.append(Source(path, package, text, ast.parse(text)))
    return found


SOURCES = _sources()
SCIENCE = [source for source in SOURCES if "pipelines/science/" in source.name]


def imports_of(source: Source) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that a file imports, wherever it does."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*source.module.split(".")[: -node.level], base]).strip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant):
                    yield node.lineno, str(argument.value)


def _called(node: ast.Call) -> str:
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _owner(node: ast.Call) -> str:
    """Return the last name before the dot of the called function."""
    value = getattr(node.func, "value", None)
    return getattr(value, "attr", "") or getattr(value, "id", "")


def _is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def test_the_sources_are_found():
    assert {source.package for source in SOURCES} == set(LAYERS)
    assert len(SCIENCE) > 20


def test_no_portion_of_the_namespace_has_an_init():
    assert not [package for package in LAYERS if (ROOT / package / "tianyu/__init__.py").exists()]


def against_the_stream(source: Source) -> list[str]:
    """Return the imports of a file from a layer that is not below its own."""
    return [
        f"{source.name}:{line} imports {name}"
        for line, name in imports_of(source)
        if name.startswith("tianyu.")
        and name.split(".")[1] != source.package
        and LAYERS[name.split(".")[1]] >= LAYERS[source.package]
    ]


def forbidden_imports(source: Source) -> list[str]:
    """Return the imports of a file that science must not have."""
    return [
        f"{source.name}:{line} imports {name}"
        for line, name in imports_of(source)
        if any(_is_within(name, module) for module in FORBIDDEN_IN_SCIENCE)
    ]


def opened_files(source: Source) -> list[str]:
    """Return the calls of a file that open files."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            owner = _owner(node)
            name = _called(node)
            by_numpy = owner == "np" and name in FILE_CALLS_OF_NUMPY
            if (name in FILE_CALLS or by_numpy) and owner not in BUNDLED_TABLES:
                found.append(f"{source.name}:{node.lineno} calls {name}")
    return found


def undocumented(source: Source) -> list[str]:
    """Return what is public in a file and has no docstring."""
    return [f"{source.name}:{line} {name}" for line, name in _undocumented(source.tree)]


def _all(rule, sources):
    return [violation for source in sources for violation in rule(source)]


def test_imports_run_one_way():
    assert _all(against_the_stream, SOURCES) == []


def test_nothing_shipped_imports_the_tests():
    assert not [s.name for s in SOURCES for _, name in imports_of(s) if _is_within(name, "tests")]


def test_science_imports_no_database_no_broker_and_no_files():
    assert _all(forbidden_imports, SCIENCE) == []


def test_science_opens_no_file():
    assert _all(opened_files, SCIENCE) == []


def test_a_file_is_named_after_its_one_concept():
    assert not [s.name for s in SOURCES if GRAB_BAGS.intersection(Path(s.name[:-3]).parts)]


def test_no_file_is_too_long():
    lengths = {source.name: source.text.count("\n") for source in SOURCES}
    assert not {name: n for name, n in lengths.items() if n > MAX_LINES}


def test_everything_public_is_documented():
    assert _all(undocumented, SOURCES) == []


def _undocumented(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the public functions, classes and methods without a docstring, and the module."""
    if tree.body and ast.get_docstring(tree) is None:
        yield 1, "the module"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _undocumented_in(node, "")


def _undocumented_in(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, owner: str
) -> Iterator[tuple[int, str]]:
    if node.name.startswith("_"):
        return
    name = f"{owner}{node.name}"
    if ast.get_docstring(node) is None:
        yield node.lineno, name
    if isinstance(node, ast.ClassDef):
        for member in node.body:
            if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _undocumented_in(member, f"{name}.")


# -- the rules themselves are tried on code that breaks them --------------------------------------


def parsed(text: str, path: str = "schema/tianyu/schema/example.py") -> Source:
    return Source(ROOT / path, path.split("/", maxsplit=1)[0], text, ast.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "import tianyu.consumer.pool",
        "from tianyu.consumer import pool",
        "from tianyu import consumer",
        "def f():\n    from tianyu.consumer.pool import Pool",
        "import importlib\nimportlib.import_module('tianyu.consumer.pool')",
        "from ..consumer import pool",
    ],
)
def test_an_import_against_the_stream_is_seen(text):
    (violation,) = against_the_stream(parsed(text))
    assert "imports tianyu.consumer" in violation


def test_packages_of_one_layer_do_not_import_each_other():
    text = "from tianyu.manager.manager import Manager"
    assert against_the_stream(parsed(text, "consumer/tianyu/consumer/example.py"))
    assert not against_the_stream(parsed(text, "cli/tianyu/cli/example.py"))


@pytest.mark.parametrize(
    "text",
    [
        "from pathlib import Path",
        "import astropy.io.fits",
        "from astropy.io import fits",
        "from astropy import io",
        "def f():\n    import sqlalchemy.orm",
        "import tianyu.schema.pid",
    ],
)
def test_a_file_or_database_in_science_is_seen(text):
    assert forbidden_imports(parsed(text))


@pytest.mark.parametrize("text", ["open('x')", "np.load('x')", "path.open()", "a.b.tofile('x')"])
def test_opening_a_file_in_science_is_seen(text):
    assert opened_files(parsed(text))


def test_a_missing_docstring_is_seen():
    text = '"""M."""\nclass A:\n    """A."""\n    def b(self): ...\n    def _c(self): ...\n'
    (violation,) = undocumented(parsed(text))
    assert violation.endswith(":4 A.b")

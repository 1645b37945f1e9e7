"""The rules of the house, by reading the code: who may import whom, what the engine may not touch, sizes, versions."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "db_service"  # its data-access library is shared by the services that write
NEVER_IN_ENGINE = frozenset(
    {"asyncio", "os", "time", "random", "secrets", "datetime", "threading", "socket", "logging", "decimal"}
    | {"asyncpg", "grpc", "aiohttp", "nats", "redis", "runtime", "predmarket"}
)
CLIENT = "predmarket_client"  # lives in client/, as the installable package it is
LINES_MAX = 500
FUNCTION_LINES_MAX = 70


def committed() -> list[str]:
    """Every path git knows; skips the test where this is no git checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def packages() -> set[str]:
    """Our top-level packages."""
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def services() -> set[str]:
    """A top-level folder with `__main__.py` that serves is a process."""
    return {path.parent.name for path in ROOT.glob("*/__main__.py")} - {"launcher", "bench"}


def modules(*folders: str) -> list[Path]:
    """Our Python files, of these top-level folders or of all."""
    chosen = folders or tuple(packages() | {"tests", "bench", "client"})
    return sorted(path for folder in chosen for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """The top-level names a file imports, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield (node.module or "").split(".")[0], node.lineno


def broken(folders: list[str], forbidden: set[str] | frozenset[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(*folders)
        for name, line in imports(path)
        if name in forbidden
    ]


def test_the_engine_imports_nothing_of_ours_and_nothing_impure() -> None:
    assert broken(["engine"], NEVER_IN_ENGINE | (packages() - {"engine"})) == []


def test_the_engine_has_no_floats_and_no_decimals() -> None:
    found = []
    for path in modules("engine"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.expr | ast.stmt):
                continue
            is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
            is_name = isinstance(node, ast.Name) and node.id in ("float", "Decimal")
            is_division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
            if is_float or is_name or is_division:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_the_runtime_imports_nothing_of_ours() -> None:
    assert broken(["runtime"], packages() - {"runtime"}) == []


def test_the_client_imports_only_itself() -> None:
    assert broken(["client"], packages() | {"predmarket", "tests"}) == []


def test_services_never_import_the_client() -> None:
    assert broken([*sorted(services()), "engine", "runtime"], {CLIENT}) == []


def test_services_never_import_each_other() -> None:
    for service in sorted(services()):
        assert broken([service], services() - {service, LIBRARY} | {"launcher", "tests", "bench"}) == []


def test_the_launcher_starts_services_and_imports_none() -> None:
    assert broken(["launcher"], services() - {LIBRARY} | {"engine", "tests", "bench"}) == []


def test_nothing_but_tests_imports_tests() -> None:
    folders = sorted({path.relative_to(ROOT).parts[0] for path in modules()} - {"tests", "bench"})
    assert broken(folders, {"tests"}) == []


def test_no_generated_code_and_no_data_is_committed() -> None:
    generated = re.compile(r"_pb2(_grpc)?\.pyi?$|^proto/gen/|^\.data/|^\.venv/|__pycache__")
    assert [name for name in committed() if generated.search(name)] == []


def test_files_and_functions_stay_short() -> None:
    long = []
    for path in modules():
        name, text = path.relative_to(ROOT), path.read_text()
        if text.count("\n") > LINES_MAX:
            long.append(f"{name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name.parts[0] != "tests":
                lines = (node.end_lineno or node.lineno) - node.lineno
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{name}:{node.lineno} {node.name}: {lines} lines")
    assert long == []


def test_no_exception_is_swallowed() -> None:
    swallowed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    ]
    assert swallowed == []


def test_settings_are_read_only_where_a_process_begins() -> None:
    """No `os.environ` outside `__main__.py`, `settings.py`, migrations' env, the launcher, benchmarks and tests."""
    found = []
    for path in modules(*(packages() - {"launcher", "bench", "tests"}), "client/predmarket_client"):
        if path.name in ("__main__.py", "settings.py", "env.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def test_the_lock_pins_every_direct_dependency_and_all_versions_exactly() -> None:
    pattern = re.compile(r"^([A-Za-z0-9._-]+)(\[[a-z,]+\])?==(\S+)$")
    rows: dict[str, dict[str, str]] = {}
    for name in ("requirements.in", "requirements.lock"):
        lines = [line.strip() for line in (ROOT / name).read_text().splitlines()]
        wanted = [line for line in lines if line and not line.startswith("#")]
        matches = [pattern.match(line) for line in wanted]
        assert all(matches), f"{name} has a line without an exact version"
        rows[name] = {_normal(match[1]): match[3] for match in matches if match}
    assert rows["requirements.in"].items() <= rows["requirements.lock"].items()


@pytest.mark.skipif(sys.platform != "linux", reason="the wheels of the servers are tried on Linux")
def test_every_imported_package_is_locked() -> None:
    import importlib.metadata

    locked = {
        _normal(line.split("==")[0])
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    }
    providers = importlib.metadata.packages_distributions()
    missing = set()
    for path in modules():
        for name, line in imports(path):
            distributions = {_normal(distribution) for distribution in providers.get(name, [])}
            if distributions and not distributions & locked:
                missing.add(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not missing


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

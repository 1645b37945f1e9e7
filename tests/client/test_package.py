"""The package as others get it: a wheel, in an environment without the rest of this repository."""

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

import predmarket_client

SOURCE = Path(predmarket_client.__file__).parents[1]
CONSUMER = """
from predmarket_client import Client, Order, limit, micros

async def rest(client: Client) -> Order:
    return await client.orders.place(limit("BUY", "YES", "m", price_micros=micros("0.5"), quantity_micros=1))

async def wrong(client: Client) -> str:
    return await client.orders.place(limit("HOLD", "YES", "m", price_micros=0.5, quantity_micros=1))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, without a network, by the setuptools of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(SOURCE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build"))
    offline = ("--no-deps", "--no-index", "--no-build-isolation")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", str(folder), str(copy))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel installed, and third-party packages from this environment; nothing else of ours."""
    folder = tmp_path_factory.mktemp("consumer")
    venv.create(folder, symlinks=True)
    installed = folder / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    with ZipFile(wheel) as archive:  # a wheel without scripts or data is installed by being unpacked
        archive.extractall(installed)
    # A path in a .pth file is only searched: the .pth file there, which leads to our sources, is not read.
    (installed / "third_party.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


def run(*command: str, code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_its_type_marker_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "predmarket_client").rglob("*.py")}
    assert packed == sources | {"predmarket_client/py.typed"}


def test_it_is_imported_where_nothing_else_of_ours_is(python: Path) -> None:
    program = "import predmarket_client as p, importlib.util as u; print(p.__file__, u.find_spec('runtime'))"
    path, runtime = run(str(python), "-P", "-c", program).split()
    assert Path(path).is_relative_to(python.parents[1])
    assert runtime == "None"


def test_it_asks_for_what_it_imports_and_no_more(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    asked = {match[1]: match[2] for match in re.finditer(r"^Requires-Dist: (\w+)>=([\d.]+)$", metadata, re.M)}
    assert metadata.count("Requires-Dist:") == len(asked)
    assert set(asked) == imported() - sys.stdlib_module_names - {"predmarket_client"}
    for package, least in asked.items():
        assert numbers(importlib.metadata.version(package)) >= numbers(least)


def test_its_types_hold_in_a_strict_consumer(python: Path, tmp_path: Path) -> None:
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER)
    options = ("--strict", "--config-file=", f"--cache-dir={tmp_path}", f"--python-executable={python}")
    found = run(sys.executable, "-m", "mypy", *options, str(consumer), code=1)
    errors = sorted(re.findall(r":(\d+): error: .*\[([a-z-]+)\]$", found, re.M))
    assert errors == [("8", "arg-type"), ("8", "arg-type"), ("8", "return-value")], found


def imported() -> set[str]:
    """Top-level names that the sources import."""
    names = set()
    for path in (SOURCE / "predmarket_client").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").split(".")[0])
    return names


def numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")[:3]]

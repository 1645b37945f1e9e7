"""docker-compose.yaml and the Dockerfile, read beside the code: every process is there, with settings it takes."""

import importlib
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runtime.settings import ServiceSettings
from tests.house.test_import_rules import ROOT, imports, modules, services

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STARTED = re.compile(r"run_service\(\s*\"\w+\",\s*(\w+),")
VARIABLE = re.compile(r"\$\{\w+(?::-([^}]*))?\}")
ADDRESS = re.compile(r"(?<![\w.-])([a-z][\w-]*):\d{4,5}\b")
SHARED = COMPOSE["x-settings"]


def containers() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Those of ours that serve: name, declaration, package."""
    for name, container in COMPOSE["services"].items():
        command = container.get("command")
        if isinstance(command, list) and command[:2] == ["python", "-m"] and len(command) == 3:
            yield name, container, command[2]


def settings_class(package: str) -> type[ServiceSettings]:
    found = STARTED.search((ROOT / package / "__main__.py").read_text())
    assert found, f"{package}/__main__.py starts no service"
    chosen: type[ServiceSettings] = getattr(importlib.import_module(f"{package}.settings"), found[1])
    assert issubclass(chosen, ServiceSettings)
    return chosen


def expanded(value: object) -> str:
    return VARIABLE.sub(lambda found: found[1] or "", str(value))


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {name: expanded(value) for name, value in container.get("environment", {}).items()}


def copied() -> set[str]:
    """The folders of ours in the image."""
    return set(re.findall(r"^COPY (\w+) \./\1$", DOCKERFILE, re.MULTILINE))


def test_every_process_is_a_container_and_in_the_image() -> None:
    assert {package for _, _, package in containers()} == services()
    assert services() | {"engine", "runtime"} <= copied()


@pytest.mark.parametrize("name", [name for name, _, _ in containers()])
def test_a_container_starts_with_its_settings(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    container, package = next((found, package) for each, found, package in containers() if each == name)
    chosen, environment = settings_class(package), environment_of(container)
    monkeypatch.chdir(tmp_path)
    for setting, value in environment.items():
        monkeypatch.setenv(setting, value)
    settings = chosen()
    assert settings.instance, "every process has a name of its own"
    known = {field.upper() for field in chosen.model_fields}
    assert set(environment) - set(SHARED) - known == set(), "settings that nobody reads"


def test_no_shared_setting_is_read_by_nobody() -> None:
    known = {field.upper() for package in services() for field in settings_class(package).model_fields}
    assert set(SHARED) - known == set()


def test_every_address_is_a_container() -> None:
    names = set(COMPOSE["services"])
    for container in COMPOSE["services"].values():
        for setting, value in environment_of(container).items():
            without_credentials = re.sub(r"//[^@/]*@", "//", value)
            assert set(ADDRESS.findall(without_credentials)) - {"localhost"} <= names, setting


def test_whatever_a_container_waits_for_and_mounts_is_declared() -> None:
    for name, container in COMPOSE["services"].items():
        assert set(container.get("depends_on", {})) <= set(COMPOSE["services"]), name
        volumes = {
            mount.split(":")[0] for mount in container.get("volumes", []) if not mount.startswith((".", "/"))
        }
        assert volumes <= set(COMPOSE["volumes"]), name
        assert {each["source"] for each in container.get("configs", [])} <= set(COMPOSE["configs"]), name


def test_the_image_leaves_out_nothing_that_it_imports() -> None:
    left_out = re.search(r"grep -vE '\^\((.*)\)'", DOCKERFILE)
    assert left_out
    pattern = re.compile(f"^({left_out[1]})")
    locked = [
        line.split("==")[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line
    ]
    gone = {name.lower().replace("_", "-") for name in locked if pattern.match(name)}
    assert gone, "the tools of the tests stay out"
    providers = importlib.metadata.packages_distributions()
    missing = set()
    for path in modules(*sorted(copied() - {"proto"})):
        for name, line in imports(path):
            provided = {each.lower().replace("_", "-") for each in providers.get(name, [])}
            if provided and provided <= gone:
                missing.add(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not missing

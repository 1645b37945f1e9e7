"""Running a server as an unprivileged user when we are root, without loosening any existing permission.

PostgreSQL refuses to run as root. That other user must be able to pass every folder on the way to the
programs and to the data: below a private home, programs are copied and data is placed under FALLBACK_ROOT.
"""

import hashlib
import os
import pwd
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FALLBACK_ROOT = Path("/var/lib/play-prediction-engine")


@dataclass(frozen=True, slots=True)
class Account:
    """The user a server runs as."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """None when we are not root ourselves, else the system's `nobody`."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def may_pass(path: Path, account: Account | None) -> bool:
    """Whether the account may pass through the folder and all above it."""
    if account is None:
        return True
    return all(_may_execute(folder, account) for folder in (path, *path.parents))


def reachable_folder(wanted: Path, account: Account | None) -> Path:
    """The wanted folder if the account can get there, else one for the same purpose below FALLBACK_ROOT."""
    wanted = wanted.resolve()
    above = wanted.parent
    while not above.exists():
        above = above.parent
    if may_pass(above, account):
        return wanted
    digest = hashlib.sha256(str(wanted).encode()).hexdigest()[:16]
    return FALLBACK_ROOT / f"{wanted.name}-{digest}"


def make_owned_folder(path: Path, account: Account | None) -> None:
    """A folder only the account may look into; the folders above it are made when missing."""
    if path.parent == FALLBACK_ROOT:
        _make_fallback_root()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(path, account.uid, account.gid)


def reachable_copy(packages: Path, parts: Sequence[str], name: str, account: Account | None) -> Path:
    """The folder of installed packages if the account can get there, else a copy of these parts of it.

    The parts keep their places to each other, by which programs find their libraries. `name` has the version: a copy
    is made once.
    """
    packages = packages.resolve()
    if all(may_pass(packages / part, account) for part in parts):
        return packages
    copy = FALLBACK_ROOT / name
    if not copy.exists():
        _make_fallback_root()
        unfinished = copy.with_name(f"{name}.{os.getpid()}")
        for part in parts:
            shutil.copytree(packages / part, unfinished / part, symlinks=True)
        _open_to_all(unfinished)
        try:
            unfinished.rename(copy)
        except OSError:  # another start was quicker
            shutil.rmtree(unfinished)
    return copy


def _make_fallback_root() -> None:
    if not FALLBACK_ROOT.exists():
        FALLBACK_ROOT.mkdir(parents=True)
        FALLBACK_ROOT.chmod(0o755)  # whatever our umask is


def _open_to_all(copy: Path) -> None:
    for folder, _, files in os.walk(copy):
        os.chmod(folder, 0o755)
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(0o755 if file.stat().st_mode & stat.S_IXUSR else 0o644)


def _may_execute(path: Path, account: Account) -> bool:
    status = path.stat()
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)

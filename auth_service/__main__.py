"""`python -m auth_service` serves; `create-admin` makes the first administrator, `rotate-keys` another signing
key."""

import argparse
import asyncio
import getpass
import sys
from datetime import timedelta
from uuid import UUID

from auth_service import keys
from auth_service.founding import AdminOutcome, create_admin
from auth_service.hashing import BoundedHasher
from auth_service.identity import SYSTEM_ACTOR, BadField
from auth_service.process import serve
from auth_service.settings import AdminSettings, AuthSettings, RotateSettings
from runtime import postgres
from runtime.clock import SystemClock
from runtime.ids import uuid7
from runtime.lifecycle import run_service
from runtime.settings import load_settings

EXIT_REFUSED = 1


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m auth_service", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    admin = commands.add_parser(
        "create-admin",
        help="make an administrator unless there is one",
        description="Makes an administrator unless there is one with this e-mail. The password comes from "
        "ADMIN_PASSWORD, else from the first line of standard input.",
    )
    admin.add_argument("--email", default="", help="default: the setting ADMIN_EMAIL")
    commands.add_parser(
        "rotate-keys",
        help="make another signing key",
        description="Makes another signing key. It is published now and signs after KEY_PUBLISH_AHEAD_SECONDS; "
        "the old one is retired then. No valid token is refused on the way.",
    )
    arguments = parser.parse_args()
    if arguments.command == "rotate-keys":
        sys.exit(asyncio.run(_rotate_keys(load_settings(RotateSettings))))
    if arguments.command == "create-admin":
        sys.exit(asyncio.run(_create_admin(load_settings(AdminSettings), arguments.email)))
    run_service("auth_service", AuthSettings, serve)


async def _create_admin(settings: AdminSettings, email: str) -> int:
    email = email or settings.admin_email
    password = settings.admin_password.get_secret_value() or _password_from_stdin()
    connection = await postgres.connect(settings.database_url.get_secret_value(), name="create-admin")
    hasher = BoundedHasher(settings.hashing_limits())
    try:
        outcome = await create_admin(
            connection,
            hasher,
            user_id=UUID(uuid7(SystemClock().now_micros())),
            email=email,
            password=password,
            grant_micros=settings.signup_grant_micros,
        )
    except BadField as bad:
        print(f"{bad.field}: {bad.message}", file=sys.stderr)
        return EXIT_REFUSED
    finally:
        hasher.close()
        await connection.close()
    return _report(outcome, email)


async def _rotate_keys(settings: RotateSettings) -> int:
    connection = await postgres.connect(settings.database_url.get_secret_value(), name="rotate-keys")
    publish_ahead = timedelta(seconds=settings.key_publish_ahead_seconds)
    try:
        async with connection.transaction():
            kid = await keys.add(
                connection, actor_id=SYSTEM_ACTOR, reason="rotate-keys", publish_ahead=publish_ahead
            )
    finally:
        await connection.close()
    if kid is None:
        print("A new key is published already and does not sign yet; nothing was changed.", file=sys.stderr)
        return EXIT_REFUSED
    print(f"{kid} is published now and signs in {int(publish_ahead.total_seconds())} seconds.")
    return 0


def _report(outcome: AdminOutcome, email: str) -> int:
    if outcome is AdminOutcome.CREATED:
        print(f"{email} is an administrator now.")
    elif outcome is AdminOutcome.IS_ADMIN_ALREADY:
        print(f"{email} is an administrator already; nothing was changed, the password neither.")
    else:
        print(f"{email} belongs to an account that is no administrator's; choose another.", file=sys.stderr)
        return EXIT_REFUSED
    return 0


def _password_from_stdin() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password of the administrator: ")
    return sys.stdin.readline().rstrip("\r\n")


if __name__ == "__main__":
    main()

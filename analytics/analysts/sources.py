"""Asking an endpoint that runs somewhere, as its analysts do."""

from __future__ import annotations

from typing import Final

import aiohttp
from pydantic import SecretStr
from pydantic_settings import BaseSettings

from analytics.analysts.export import Ask

SECONDS_MAX: Final = 120


class SourceSettings(BaseSettings):
    """Which endpoint, and who asks. Empty: none."""

    analytics_sql_url: str = ""
    analytics_sql_token: SecretStr = SecretStr("")
    """An access token or an API key of an analyst."""


class AskingFailed(OSError):
    """What the endpoint answered; the message is for people."""


def over_http(settings: SourceSettings) -> Ask:
    """Raises AskingFailed, and OSError when nobody answers."""
    headers = {"Authorization": f"Bearer {settings.analytics_sql_token.get_secret_value()}"}
    timeout = aiohttp.ClientTimeout(total=SECONDS_MAX)

    async def ask(sql: str, wanted: str) -> bytes:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=timeout) as session,
            session.post(
                settings.analytics_sql_url, data=sql.encode(), params={"default_format": wanted}
            ) as answer,
        ):
            body = await answer.read()
            if answer.status != 200:
                raise AskingFailed(body.decode(errors="replace")[:1000])
            return body

    return ask

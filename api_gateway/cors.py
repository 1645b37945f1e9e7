"""Which web pages of other origins may call: those on a list. Their browsers ask first, and obey the answer."""

from collections.abc import Mapping
from typing import Final

PREFLIGHT_SECONDS: Final = 600
WITH_COOKIES: Final = {"Access-Control-Allow-Credentials": "true"}


class Cors:
    """`origins`: exactly as browsers send them, `http://localhost:5173`."""

    def __init__(self, origins: frozenset[str]) -> None:
        self.origins = origins

    def headers(self, origin: str | None, *, exposed: str, credentials: bool = False) -> Mapping[str, str]:
        """For an answer; a page that is not on the list gets none, and its browser shows it nothing. `credentials`:
        it may send its cookies along."""
        if origin is None or origin not in self.origins:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            **(WITH_COOKIES if credentials else {}),
            "Access-Control-Expose-Headers": exposed,
            "Vary": "Origin",
        }

    def preflight(
        self, origin: str | None, *, methods: str, allowed: str, credentials: bool = False
    ) -> Mapping[str, str]:
        """For the answer to OPTIONS."""
        if origin is None or origin not in self.origins:
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            **(WITH_COOKIES if credentials else {}),
            "Access-Control-Allow-Methods": methods,
            "Access-Control-Allow-Headers": allowed,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            "Vary": "Origin",
        }


def origins_of(setting: str) -> frozenset[str]:
    """`http://a,http://b`."""
    return frozenset(origin.strip() for origin in setting.split(",") if origin.strip())

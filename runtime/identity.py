"""Who calls, and what the credential in hand may do."""

from dataclasses import dataclass
from typing import Final

from runtime.errors import ApiError, ErrorCode

READ: Final = "read"
"""Reading what is one's own."""

TRADE: Final = "trade"
"""Everything of trading that writes."""

ALL_SCOPES: Final = frozenset({READ, TRADE})

USER_TIER: Final = "user"
"""The rate limits of people, who come with access tokens."""

NEVER_SECONDS: Final = 253_402_300_799
"""The end of the year 9999: when an API key without an expiry expires."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls. Times in seconds since the epoch, as in an access token.

    Of an API key: `session_id` is empty, `token_id` is the key's id, and `role` is its owner's.
    """

    user_id: str
    role: str
    session_id: str
    token_id: str
    expires_at_seconds: int
    scopes: frozenset[str] = ALL_SCOPES
    tier: str = USER_TIER
    api_key_id: str = ""
    version: int = 0
    """The owner's access version when the credential was issued (an API key: when it was checked)."""

    @property
    def is_api_key(self) -> bool:
        return bool(self.api_key_id)

    def require(self, *roles: str) -> None:
        """Raises FORBIDDEN unless the role is one of these."""
        if self.role not in roles:
            raise ApiError(ErrorCode.FORBIDDEN)

    def require_scope(self, scope: str) -> None:
        """Raises FORBIDDEN unless the credential may be used for this: READ or TRADE. Access tokens may for both."""
        if scope not in self.scopes:
            raise ApiError(ErrorCode.FORBIDDEN, f"This API key lacks the scope {scope}.", scope=scope)

    def require_person(self) -> None:
        """Raises FORBIDDEN for an API key: accounts and markets are managed by people who logged in."""
        if self.is_api_key:
            raise ApiError(ErrorCode.FORBIDDEN, "An API key may not do this: log in and use an access token.")

"""Page tokens of lists that are ordered by market id alone."""

import base64
import binascii

from db_service.paging import bad_field
from runtime.ids import is_canonical_uuid


def token_of(market_id: str) -> str:
    """For the page after this market."""
    return base64.urlsafe_b64encode(market_id.encode()).decode().rstrip("=")


def market_id_after(token: str) -> str:
    """The market before the page; empty: the first page. Raises INVALID_ARGUMENT."""
    if not token:
        return ""
    try:
        padded = token + "=" * (-len(token) % 4)
        market_id = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        market_id = ""
    if not is_canonical_uuid(market_id):
        raise bad_field("page_token", "is not one that this list gave out")
    return market_id

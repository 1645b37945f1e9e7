"""Who a request really comes from, and whether over https: proxies are believed only where they are trusted."""

import ipaddress
from collections.abc import Sequence
from typing import Final

from aiohttp import web

FORWARDED_MAX: Final = 20
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks_of(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8,127.0.0.1`. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


class Peers:
    """`trusted`: networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def address(self, request: web.Request) -> str:
        """The client's address: the last one that no trusted proxy stands for."""
        address = request.remote or ""
        if not self._trusted or not self._is_trusted(address):
            return address
        forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
        for part in reversed(forwarded[-FORWARDED_MAX:]):
            if not _is_address(part.strip()):
                break
            address = part.strip()
            if not self._is_trusted(address):
                break
        return address

    def is_https(self, request: web.Request) -> bool:
        """As the client sees it."""
        if self._trusted and self._is_trusted(request.remote or ""):
            return request.headers.get("X-Forwarded-Proto", "").lower() == "https"
        return request.secure

    def keeps_secure_cookies(self, request: web.Request) -> bool:
        """Browsers drop secure cookies of plain http, unless it is their own machine's."""
        host = (
            request.host.rpartition(":")[0] if request.host.rpartition(":")[2].isdecimal() else request.host
        )
        return self.is_https(request) or host in _LOCAL_HOSTS

    def _is_trusted(self, address: str) -> bool:
        if not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        # A server that listens on `::` sees IPv4 as a part of IPv6.
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return any((mapped or parsed) in net for net in self._trusted)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

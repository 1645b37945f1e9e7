"""Free TCP ports, below the range from which the kernel takes ports for outgoing connections."""

import random
import re
import socket

PORT_MIN = 15_000
PORT_MAX = 32_000
PORT_LAST = 65_535
ATTEMPTS_MAX = 500

_range = range(PORT_MIN, PORT_MAX)
_given: set[int] = set()


def keep_to(part: str) -> None:
    """Only ports of this part from now on, as 15000-19999.

    Processes side by side, each with its own part, take none that another has chosen and does not listen on yet.
    Raises ValueError for anything but a range of ports.
    """
    global _range
    bounds = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", part)
    if bounds is None or not 1 <= int(bounds[1]) <= int(bounds[2]) <= PORT_LAST:
        raise ValueError(f"{part!r} is no range of ports, such as {PORT_MIN}-{PORT_MAX - 1}")
    _range = range(int(bounds[1]), int(bounds[2]) + 1)


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment, never the same twice in one process.

    Another process may still take it before it is used; starting the server fails then.
    """
    source = random.SystemRandom()
    for _ in range(ATTEMPTS_MAX):
        port = source.choice(_range)
        if port not in _given and is_free(port, host):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port between {_range[0]} and {_range[-1]}")


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True

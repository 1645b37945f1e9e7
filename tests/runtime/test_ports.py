"""Free ports."""

import socket

import pytest

from runtime import ports
from runtime.ports import free_port, is_free, keep_to


def test_no_port_is_given_twice_and_none_that_is_taken() -> None:
    given = [free_port() for _ in range(200)]
    assert len(set(given)) == len(given)
    with socket.create_server(("127.0.0.1", given[0])):
        assert not is_free(given[0])
    assert is_free(given[0])


@pytest.fixture
def put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process keeps to is put back afterwards."""
    monkeypatch.setattr(ports, "_range", ports._range)


@pytest.mark.usefixtures("put_back")
def test_they_are_of_the_part_that_was_named() -> None:
    keep_to("31000-31999")
    assert all(31_000 <= free_port() <= 31_999 for _ in range(50))


@pytest.mark.usefixtures("put_back")
def test_without_a_free_one_it_says_so() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        taken = server.getsockname()[1]
        keep_to(f"{taken}-{taken}")
        with pytest.raises(RuntimeError, match=f"between {taken} and {taken}"):
            free_port()


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize("part", ["", "9", "9-x", "0-9", "9-8", "1-65536", "-1-9", "1-2-3", "٣-٤"])
def test_what_is_no_range_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="no range of ports"):
        keep_to(part)

"""The ids of trades are uuid5 of the taker's order, as the standard library makes them."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from engine.events import trade_id


@given(st.uuids(), st.integers(1, 2**44), st.integers(0, 2_000))
def test_a_trade_id_is_the_uuid5_of_order_and_place(order_id: uuid.UUID, seq: int, index: int) -> None:
    assert trade_id(str(order_id), seq, index) == str(uuid.uuid5(order_id, f"{seq}:{index}"))

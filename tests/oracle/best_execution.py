"""I-25: a taker never pays more than the same order would against the book alone or the pool alone."""

from __future__ import annotations

from tests.oracle import pool
from tests.oracle.model import BUY, YES, World, other
from tests.oracle.naive_book import NaiveBook
from tests.oracle.pool import UNIT
from tests.oracle.trading import Answer, Place


def check_best_execution(before: World, now: int, command: Place, answer: Answer) -> None:
    """The design's tolerance: a micro per pool leg, and a lot."""
    market = before.markets[command.market_id]
    taken = [fill for fill in answer.fills if fill.liquidity == "TAKER"]
    quantity = sum(fill.quantity for fill in taken)
    if not quantity:
        return
    shown = sum(fill.cost for fill in taken)
    cost = shown if command.side == BUY else quantity - shown
    slack = sum(fill.venue == "POOL" for fill in taken) + market.lot
    acquired = command.outcome if command.side == BUY else other(command.outcome)
    reserves = (market.yes, market.no) if acquired == YES else (market.no, market.yes)
    alone = pool.smallest_spend(*reserves, quantity)
    assert cost <= alone + slack, f"I-25 pool alone: {cost} > {alone} + {slack}"
    makers = [order for order in answer.touched.values() if order.order_id != command.order_id]
    if any(order.reason == "POSITION_NETTED" or order.cancelled for order in makers):
        return  # netting took depth away while the order swept the book: there is no "same order, book alone"
    book = NaiveBook()
    for maker in market.makers_for(acquired):
        if maker.user != command.user and not maker.expired(now):
            book.add(maker.order_id, maker.bid, maker.priority_seq, maker.remaining)
    wanted = quantity - quantity % market.lot
    prices = {maker.order_id: UNIT - maker.bid for maker in market.makers_for(acquired)}
    sweep = book.take(wanted, 0)
    if sum(part for _, part in sweep) == wanted:
        alone = sum(prices[order_id] * part // UNIT for order_id, part in sweep)
        assert cost <= alone + slack, f"I-25 book alone: {cost} > {alone} + {slack}"


def check_price_time(before: World, now: int, command: Place, answer: Answer) -> None:
    """I-11: the makers filled are those of a list-and-sort book, in its order and with its quantities."""
    market = before.markets[command.market_id]
    acquired = command.outcome if command.side == BUY else other(command.outcome)
    fills = [(fill.order_id, fill.quantity) for fill in answer.fills if fill.liquidity == "MAKER"]
    filled = {order_id for order_id, _ in fills}
    book = NaiveBook()
    for maker in market.makers_for(acquired):
        after = answer.touched.get(maker.order_id)
        gone = after is not None and after.cancelled > maker.cancelled
        if (
            gone and after is not None
        ):  # cut, expired or cancelled on the way: what it filled before is all it gave
            if maker.order_id in filled:
                book.add(maker.order_id, maker.bid, maker.priority_seq, after.filled - maker.filled)
        elif not maker.expired(now):
            book.add(maker.order_id, maker.bid, maker.priority_seq, maker.remaining)
    together: dict[str, int] = {}
    for order_id, quantity in fills:
        together[order_id] = together.get(order_id, 0) + quantity
    assert book.take(sum(together.values()), 0) == list(together.items()), "I-11 price-time"

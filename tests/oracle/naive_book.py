"""A book by list and sort: price, then the older place. It knows no pool, fee or position (I-11)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Resting:
    order_id: str
    bid: int
    place: int
    quantity: int


@dataclass(slots=True)
class NaiveBook:
    """One ladder of bids for one outcome, sorted whenever somebody asks."""

    orders: list[Resting] = field(default_factory=list)

    def in_order(self) -> list[Resting]:
        self.orders.sort(key=lambda order: (-order.bid, order.place))
        return self.orders

    def add(self, order_id: str, bid: int, place: int, quantity: int) -> None:
        self.orders.append(Resting(order_id, bid, place, quantity))

    def set_quantity(self, order_id: str, quantity: int) -> None:
        for order in self.orders:
            if order.order_id == order_id:
                order.quantity = quantity
        self.orders = [order for order in self.orders if order.quantity]

    def take(self, quantity: int, bid_min: int) -> list[tuple[str, int]]:
        """Match `quantity` against bids of at least `bid_min`: (order id, quantity) as they trade."""
        fills = []
        for order in self.in_order():
            if quantity == 0 or order.bid < bid_min:
                break
            part = min(quantity, order.quantity)
            order.quantity -= part
            quantity -= part
            fills.append((order.order_id, part))
        self.orders = [order for order in self.orders if order.quantity]
        return fills

    def levels(self) -> list[tuple[int, int]]:
        """(price, quantity) by price, best first."""
        depth: dict[int, int] = {}
        for order in self.in_order():
            depth[order.bid] = depth.get(order.bid, 0) + order.quantity
        return list(depth.items())

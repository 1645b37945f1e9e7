"""Async client of the Play-Prediction Engine: REST with safe retries, live books, own orders and fills.

async with Client("http://127.0.0.1:8080", token="pmk_...") as client:
    order = await client.orders.place(market("BUY", "YES", market_id, amount_micros=micros(5)))
"""

from predmarket_client.client import Client
from predmarket_client.errors import ApiError, FieldError, NoAnswer, PredmarketError, ProtocolError
from predmarket_client.paging import Page, Pages
from predmarket_client.retries import RetryPolicy
from predmarket_client.shapes.accounts import ApiKey, NewApiKey, OpenSession, Session, Ticket, Tokens, User
from predmarket_client.shapes.admin import (
    AuditRow,
    Grant,
    Payout,
    Revenue,
    SettledMarket,
    Settlement,
    Sweep,
    Treasury,
)
from predmarket_client.shapes.markets import (
    AdminMarket,
    BookSnapshot,
    Holder,
    Market,
    MarketTicker,
    MergedBook,
    MergedLevel,
    Outcome,
    Pool,
    Side,
    Solvency,
    Trade,
)
from predmarket_client.shapes.portfolio import LedgerRow, PastSettlement, Portfolio, Position
from predmarket_client.shapes.trading import (
    DryRun,
    Execution,
    Fill,
    ImpactPoint,
    Leg,
    NewOrder,
    Order,
    Quote,
    Sets,
    limit,
    market,
)
from predmarket_client.stream.feeds import Feed, Gap, LatestFeed, LiveBook, OwnFeed
from predmarket_client.stream.frames import (
    OwnBalance,
    OwnFill,
    OwnOrder,
    OwnPosition,
    Status,
    Ticker,
    TradeFrame,
)
from predmarket_client.stream.stream import Stream
from predmarket_client.units import POINT_MICROS, micros, opposite_price, points

__all__ = [
    "POINT_MICROS",
    "AdminMarket",
    "ApiError",
    "ApiKey",
    "AuditRow",
    "BookSnapshot",
    "Client",
    "DryRun",
    "Execution",
    "Feed",
    "FieldError",
    "Fill",
    "Gap",
    "Grant",
    "Holder",
    "ImpactPoint",
    "LatestFeed",
    "LedgerRow",
    "Leg",
    "LiveBook",
    "Market",
    "MarketTicker",
    "MergedBook",
    "MergedLevel",
    "NewApiKey",
    "NewOrder",
    "NoAnswer",
    "OpenSession",
    "Order",
    "Outcome",
    "OwnBalance",
    "OwnFeed",
    "OwnFill",
    "OwnOrder",
    "OwnPosition",
    "Page",
    "Pages",
    "PastSettlement",
    "Payout",
    "Pool",
    "Portfolio",
    "Position",
    "PredmarketError",
    "ProtocolError",
    "Quote",
    "RetryPolicy",
    "Revenue",
    "Session",
    "Sets",
    "SettledMarket",
    "Settlement",
    "Side",
    "Solvency",
    "Status",
    "Stream",
    "Sweep",
    "Ticker",
    "Ticket",
    "Tokens",
    "Trade",
    "TradeFrame",
    "Treasury",
    "User",
    "limit",
    "market",
    "micros",
    "opposite_price",
    "points",
]

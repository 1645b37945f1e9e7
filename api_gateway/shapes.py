"""What the services say, as the API shows it: micros, RFC 3339 times, null where there is nothing."""

from collections.abc import Iterable
from typing import Any

from predmarket.analytics.v1 import analytics_pb2
from predmarket.auth.v1 import auth_pb2
from predmarket.common.v1 import common_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.clock import to_rfc3339

SIDES = {common_pb2.SIDE_BUY: "BUY", common_pb2.SIDE_SELL: "SELL"}
LEG_FIELDS = tuple(field.name for field in market_pb2.QuoteLeg.DESCRIPTOR.fields)
OUTCOMES = {common_pb2.OUTCOME_YES: "YES", common_pb2.OUTCOME_NO: "NO"}


def time_of(micros: int) -> str | None:
    """0 means that there is none."""
    return to_rfc3339(micros) if micros else None


def fill(message: common_pb2.Fill) -> dict[str, Any]:
    """One side of a match."""
    return {
        "trade_id": message.trade_id,
        "order_id": message.order_id,
        "market_id": message.market_id,
        "seq": message.seq,
        "venue": message.venue,
        "liquidity": message.liquidity,
        "side": SIDES.get(message.side),
        "outcome": OUTCOMES.get(message.outcome),
        "price_micros": message.price_micros,
        "quantity_micros": message.quantity_micros,
        "cost_micros": message.cost_micros,
        "fee_micros": message.fee_micros,
        "netted_micros": message.netted_micros,
        "time": time_of(message.time),
    }


def order(message: common_pb2.Order) -> dict[str, Any]:
    """The order as it stands, with the fills of the event told of."""
    return {
        "order_id": message.order_id,
        "market_id": message.market_id,
        "client_order_id": message.client_order_id or None,
        "side": SIDES.get(message.side),
        "outcome": OUTCOMES.get(message.outcome),
        "type": message.type,
        "time_in_force": message.time_in_force,
        "status": message.status,
        "reason": message.reason or None,
        "price_micros": message.price_micros or None,
        "quantity_micros": message.quantity_micros,
        "amount_micros": message.amount_micros or None,
        "filled_micros": message.filled_micros,
        "remaining_micros": message.remaining_micros,
        "cancelled_micros": message.cancelled_micros,
        "cost_micros": message.cost_micros,
        "fee_micros": message.fee_micros,
        "average_price_micros": message.average_price_micros or None,
        "locked_micros": message.locked_micros,
        "netted_micros": message.netted_micros,
        "post_only": message.post_only,
        "self_trade": message.self_trade or None,
        "expires_at": time_of(message.expires_at),
        "created_at": time_of(message.created_at),
        "updated_at": time_of(message.updated_at),
        "seq": message.seq,
        "fills": [fill(item) for item in message.fills],
    }


def quote(message: order_pb2.Quote) -> dict[str, Any]:
    """What an order would do now."""
    return {
        "cost_micros": message.cost_micros,
        "fee_micros": message.fee_micros,
        "total_micros": message.total_micros,
        "proceeds_micros": message.proceeds_micros,
        "quantity_micros": message.quantity_micros,
        "average_price_micros": message.average_price_micros or None,
        "probability_before_micros": message.probability_before_micros,
        "probability_after_micros": message.probability_after_micros,
        "slippage_bps": message.slippage_bps,
        "payout_micros": message.payout_micros,
        "netted_micros": message.netted_micros,
        "valid_seq": message.valid_seq,
        "legs": [fill(leg) for leg in message.legs],
    }


def full_quote(message: market_pb2.GetQuoteResponse, *, is_known: bool) -> dict[str, Any]:
    """What an order would do now; `is_known`: the caller has logged in."""
    return {
        **_execution(message.execution),
        "valid_seq": message.valid_seq,
        "spot_price_micros": message.spot_price_micros,
        "is_within_slippage": message.is_within_slippage,
        "is_affordable": message.is_affordable,
        "available_micros": message.available_micros if is_known else None,
        "largest": _execution(message.largest) if message.HasField("largest") else None,
        "legs": [{name: getattr(leg, name) for name in LEG_FIELDS} for leg in message.legs],
        "impact": [
            {
                "amount_micros": point.amount_micros or None,
                "quantity_micros": point.quantity_micros,
                "average_price_micros": point.average_price_micros,
                "probability_after_micros": point.probability_after_micros,
                "slippage_bps": point.slippage_bps,
                "zone": _zone(point.zone),
            }
            for point in message.impact
        ],
    }


def _execution(message: market_pb2.Execution) -> dict[str, Any]:
    return {
        "cost_micros": message.cost_micros,
        "fee_micros": message.fee_micros,
        "total_micros": message.total_micros,
        "proceeds_micros": message.proceeds_micros,
        "quantity_micros": message.quantity_micros,
        "average_price_micros": message.average_price_micros or None,
        "probability_before_micros": message.probability_before_micros,
        "probability_after_micros": message.probability_after_micros,
        "slippage_bps": message.slippage_bps,
        "payout_micros": message.payout_micros,
        "netted_micros": message.netted_micros,
        "resting_micros": message.resting_micros,
        "zone": _zone(message.zone),
    }


def _zone(zone: market_pb2.ImpactZone) -> str:
    return market_pb2.ImpactZone.Name(zone).removeprefix("IMPACT_ZONE_")


def market(message: common_pb2.Market) -> dict[str, Any]:
    """A market as everybody may see it."""
    return {
        "market_id": message.market_id,
        "question": message.question,
        "description": message.description,
        "rules": message.rules,
        "resolution_source": message.resolution_source,
        "category": message.category,
        "status": message.status,
        "reason": message.reason or None,
        "outcome": message.outcome or None,
        "tick_micros": message.tick_micros,
        "lot_micros": message.lot_micros,
        "fee_bps": message.fee_bps,
        "liquidity_micros": message.liquidity_micros,
        "initial_probability_micros": message.initial_probability_micros,
        "opens_at": time_of(message.opens_at),
        "closes_at": time_of(message.closes_at),
        "created_at": time_of(message.created_at),
        "created_by": message.created_by,
        "probability_micros": message.probability_micros,
        "volume_micros": message.volume_micros,
        "last_price_micros": message.last_price_micros or None,
        "collateral_micros": message.collateral_micros,
        "pool": {"yes_micros": message.pool_yes_micros, "no_micros": message.pool_no_micros},
        "settled": message.settled,
        "seq": message.seq,
    }


def admin_market(message: common_pb2.Market) -> dict[str, Any]:
    """With what the house holds there."""
    return {
        **market(message),
        "vault_micros": message.vault_micros,
        "treasury_yes_micros": message.treasury_yes_micros,
        "treasury_no_micros": message.treasury_no_micros,
        "treasury_points_micros": message.treasury_points_micros,
        "pending_micros": message.pending_micros,
        "shard": message.shard,
    }


def book(message: market_pb2.GetBookResponse, *, merged: bool) -> dict[str, Any]:
    """Levels in YES prices, best first."""
    levels = _merged_levels if merged else _levels
    return {
        "market_id": message.market_id,
        "epoch": message.epoch,
        "seq": message.seq,
        "time": time_of(message.time),
        "status": message.status,
        "bids": levels(message.bids),
        "asks": levels(message.asks),
        "pool": {"yes_micros": message.pool_yes_micros, "no_micros": message.pool_no_micros},
    }


def ticker(message: market_pb2.Ticker) -> dict[str, Any]:
    """A market in figures, as the live feed has it too."""
    return {
        "market_id": message.market_id,
        "seq": message.seq,
        "status": message.status,
        "probability_micros": message.probability_micros,
        "best_bid_micros": message.best_bid_micros or None,
        "best_ask_micros": message.best_ask_micros or None,
        "mid_micros": message.mid_micros or None,
        "last_price_micros": message.last_price_micros or None,
        "change_24h_micros": message.change_24h_micros,
        "volume_24h_micros": message.volume_24h_micros,
        "volume_micros": message.volume_micros,
        "open_interest_micros": message.open_interest_micros,
        "time": time_of(message.time),
    }


def past_book(message: analytics_pb2.GetBookAtResponse) -> dict[str, Any]:
    """As `book`, of a moment that is over."""
    return {
        "market_id": message.market_id,
        "epoch": None,
        "seq": message.seq,
        "time": time_of(message.time),
        "status": message.status,
        "bids": _levels(message.bids),
        "asks": _levels(message.asks),
        "pool": {"yes_micros": message.pool_yes_micros, "no_micros": message.pool_no_micros},
        "probability_micros": message.probability_micros,
    }


def settlement(message: order_pb2.Settlement) -> dict[str, Any]:
    """Totals; the payouts of a dry run."""
    return {
        "owed_micros": message.owed_micros,
        "payable_micros": message.payable_micros,
        "holders": message.holders,
        "open_orders": message.open_orders,
        "shortfall_micros": message.shortfall_micros,
        "remainder_micros": message.remainder_micros,
        "payouts": [
            {
                "user_id": payout.user_id,
                "points_micros": payout.points_micros,
                "yes_micros": payout.yes_micros,
                "no_micros": payout.no_micros,
                "basis_micros": payout.basis_micros,
            }
            for payout in message.payouts
        ],
    }


def user(message: auth_pb2.User) -> dict[str, Any]:
    """An account, for its owner."""
    return {
        "user_id": message.user_id,
        "email": message.email,
        "display_name": message.display_name,
        "role": auth_pb2.Role.Name(message.role).removeprefix("ROLE_").lower(),
        "status": auth_pb2.AccountStatus.Name(message.status).removeprefix("ACCOUNT_STATUS_"),
        "created_at": time_of(message.created_at),
        "granted": message.granted,
    }


def tokens(message: auth_pb2.Tokens) -> dict[str, Any]:
    """What a session hands its owner."""
    return {
        "access_token": message.access_token,
        "token_type": "Bearer",
        "access_expires_at": time_of(message.access_expires_at),
        "refresh_token": message.refresh_token,
        "refresh_expires_at": time_of(message.refresh_expires_at),
        "session_id": message.session_id,
    }


def api_key(message: auth_pb2.ApiKey) -> dict[str, Any]:
    """A key without its secret."""
    return {
        "api_key_id": message.api_key_id,
        "name": message.name,
        "scopes": [
            auth_pb2.ApiKeyScope.Name(scope).removeprefix("API_KEY_SCOPE_").lower()
            for scope in message.scopes
        ],
        "tier": message.tier,
        "created_at": time_of(message.created_at),
        "expires_at": time_of(message.expires_at),
        "last_used_at": time_of(message.last_used_at),
    }


def session(message: auth_pb2.Session) -> dict[str, Any]:
    """One log-in."""
    return {
        "session_id": message.session_id,
        "user_agent": message.user_agent,
        "created_at": time_of(message.created_at),
        "last_used_at": time_of(message.last_used_at),
        "expires_at": time_of(message.expires_at),
        "current": message.current,
    }


def _merged_levels(levels: Iterable[market_pb2.BookLevel]) -> list[list[int]]:
    return [
        [level.price_micros, level.quantity_micros, level.book_micros, level.pool_micros] for level in levels
    ]


def _levels(levels: Iterable[market_pb2.BookLevel] | Iterable[analytics_pb2.Level]) -> list[list[int]]:
    return [[level.price_micros, level.quantity_micros] for level in levels]

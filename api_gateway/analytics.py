"""Figures over time: what analytics computes."""

from typing import Any

from api_gateway import models, shapes
from api_gateway.answers.analytics import INTERVALS, METRICS, PERIODS
from api_gateway.routing import Answer, Call
from predmarket.analytics.v1 import analytics_pb2
from runtime.errors import ErrorCode
from runtime.grpc_client import call as ask

LIVE_SECONDS = 1
"""How long caches may keep what still changes."""

PAST_SECONDS = 3_600
"""How long caches may keep what is over."""

SETTLED_MICROS = 60_000_000
"""What is older than this has reached analytics: the past no longer changes."""

LEADERBOARD_SECONDS = 5
CALIBRATION_SECONDS = 60


async def candles(call: Call) -> Answer:
    """Oldest first."""
    query = call.parsed_query(models.CandlesQuery)
    to_time = models.micros_of(query.to)
    request = analytics_pb2.ListCandlesRequest(
        market_id=call.id(ErrorCode.MARKET_NOT_FOUND),
        interval=INTERVALS[query.interval],
        from_time=models.micros_of(query.from_),
        to_time=to_time,
        limit=query.limit,
    )
    answer = await ask(call.clients.analytics.ListCandles, request, authorization=call.authorization)
    items = [_candle(candle) for candle in answer.candles]
    return Answer({"items": items}, max_age_seconds=_age(call, to_time))


async def book_at(call: Call, at: str, depth: int) -> Answer:
    """The book as it stood at a moment."""
    at_micros = models.micros_of(at)
    request = analytics_pb2.GetBookAtRequest(
        market_id=call.id(ErrorCode.MARKET_NOT_FOUND), time=at_micros, depth=depth
    )
    answer = await ask(call.clients.analytics.GetBookAt, request, authorization=call.authorization)
    return Answer(shapes.past_book(answer), max_age_seconds=_age(call, at_micros))


async def leaderboard(call: Call) -> Answer:
    """Best first."""
    query = call.parsed_query(models.LeaderboardQuery)
    request = analytics_pb2.GetLeaderboardRequest(
        metric=METRICS[query.metric], period=PERIODS[query.period], limit=query.limit
    )
    answer = await ask(call.clients.analytics.GetLeaderboard, request, authorization=call.authorization)
    items = [
        {
            "rank": row.rank,
            "user_id": row.user_id,
            "display_name": row.display_name,
            f"{query.metric}_micros": row.profit_micros if query.metric == "profit" else row.volume_micros,
            "fills": row.fills,
        }
        for row in answer.rows
    ]
    body = {"items": items, "time": shapes.time_of(answer.time)}
    return Answer(body, max_age_seconds=LEADERBOARD_SECONDS)


async def calibration(call: Call) -> Answer:
    """How good the probabilities were."""
    query = call.parsed_query(models.CalibrationQuery)
    request = analytics_pb2.GetCalibrationRequest(hours_before=query.hours_before)
    answer = await ask(call.clients.analytics.GetCalibration, request, authorization=call.authorization)
    body = {
        "markets": answer.markets,
        "brier_micros": answer.brier_micros if answer.markets else None,
        "bins": [
            {
                "from_micros": one.from_micros,
                "to_micros": one.to_micros,
                "markets": one.markets,
                "resolved_yes": one.resolved_yes,
                "mean_probability_micros": one.mean_probability_micros if one.markets else None,
            }
            for one in answer.bins
        ],
    }
    return Answer(body, max_age_seconds=CALIBRATION_SECONDS)


def _age(call: Call, until_micros: int) -> int:
    """0: until now."""
    is_over = 0 < until_micros < call.clients.clock.now_micros() - SETTLED_MICROS
    return PAST_SECONDS if is_over else LIVE_SECONDS


def _candle(candle: analytics_pb2.Candle) -> dict[str, Any]:
    return {
        "start": shapes.time_of(candle.start),
        **_ohlc("", candle.price),
        **_ohlc("bid_", candle.bid),
        **_ohlc("ask_", candle.ask),
        "volume_book_micros": candle.volume_book_micros,
        "volume_pool_micros": candle.volume_pool_micros,
        "volume_up_micros": candle.volume_up_micros,
        "volume_down_micros": candle.volume_down_micros,
        "trades": candle.trades,
    }


def _ohlc(prefix: str, ohlc: analytics_pb2.Ohlc) -> dict[str, int | None]:
    return {
        f"{prefix}open_micros": ohlc.open_micros or None,
        f"{prefix}high_micros": ohlc.high_micros or None,
        f"{prefix}low_micros": ohlc.low_micros or None,
        f"{prefix}close_micros": ohlc.close_micros or None,
    }

"""AnalyticsService on gRPC: whether the question is well formed, and the query that answers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from analytics.clickhouse import ClickHouse
from analytics.ingest.database import Database
from analytics.ingest.follow import Standing
from analytics.ingest.tables import main_table
from analytics.queries import books, calibration, candles, leaderboards, tickers
from analytics.queries.shared import Shared
from predmarket.analytics.v1 import analytics_pb2 as pb
from predmarket.analytics.v1 import analytics_pb2_grpc
from runtime.clock import Clock
from runtime.errors import ApiError, ErrorCode, FieldError
from runtime.ids import is_canonical_uuid
from runtime.topics import Topic

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["AnalyticsService"].full_name
TIME_MAX: Final = 4_102_444_800_000_000
"""The year 2100: ClickHouse counts microseconds in 64 bits, and candles beyond it are nobody's wish."""

DEPTH_MAX: Final = 1_000
Context = Any  # grpc.aio.ServicerContext of whatever messages


class AnalyticsServicer(analytics_pb2_grpc.AnalyticsServiceServicer):
    """The RPCs of analytics.proto, whose comments are their documentation."""

    def __init__(
        self, *, clickhouse: ClickHouse, database: Database, clock: Clock, standing: Callable[[], Standing]
    ) -> None:
        self._clickhouse = clickhouse
        self._database = database
        self._clock = clock
        self._standing = standing
        self._leaders: Shared[tuple[pb.Metric, pb.Period], pb.GetLeaderboardResponse] = Shared(
            self._compute_leaders
        )
        self._calibration: Shared[int, pb.GetCalibrationResponse] = Shared(
            lambda hours_before: calibration.calibration(clickhouse, hours_before)
        )

    async def ListCandles(self, request: pb.ListCandlesRequest, context: Context) -> pb.ListCandlesResponse:
        _id(request.market_id)
        if request.interval not in candles.STEP_MICROS:
            raise _bad("interval", "must be one of Interval")
        _time("from_time", request.from_time)
        _time("to_time", request.to_time)
        limit = _count("limit", request.limit, candles.LIMIT_MAX) or candles.LIMIT_USUAL
        to_time = request.to_time or self._clock.now_micros()
        which = candles.span(request.interval, request.from_time, to_time, limit)
        found = await candles.candles(self._clickhouse, request.market_id, which)
        if not found:
            await self._must_be_known(request.market_id)
        return pb.ListCandlesResponse(candles=found)

    async def ListTickers(self, request: pb.ListTickersRequest, context: Context) -> pb.ListTickersResponse:
        if len(request.market_ids) > tickers.MARKETS_MAX:
            raise _bad("market_ids", f"at most {tickers.MARKETS_MAX}")
        for market_id in request.market_ids:
            _id(market_id)
        limit = _count("limit", request.limit, tickers.MARKETS_MAX) or tickers.MARKETS_USUAL
        now = self._clock.now_micros()
        wanted = list(request.market_ids) or await tickers.most_traded(self._clickhouse, limit, now)
        return pb.ListTickersResponse(tickers=await tickers.tickers(self._clickhouse, wanted, now))

    async def GetLeaderboard(
        self, request: pb.GetLeaderboardRequest, context: Context
    ) -> pb.GetLeaderboardResponse:
        if request.metric not in (pb.METRIC_PROFIT, pb.METRIC_VOLUME):
            raise _bad("metric", "must be one of Metric")
        if request.period not in leaderboards.PERIOD_MICROS:
            raise _bad("period", "must be one of Period")
        limit = _count("limit", request.limit, leaderboards.LIMIT_MAX) or leaderboards.LIMIT_USUAL
        whole = await self._leaders.ask((request.metric, request.period))
        return pb.GetLeaderboardResponse(rows=whole.rows[:limit], time=whole.time)

    async def GetBookAt(self, request: pb.GetBookAtRequest, context: Context) -> pb.GetBookAtResponse:
        _id(request.market_id)
        _time("time", request.time)
        depth = _count("depth", request.depth, DEPTH_MAX)
        found = await books.book_at(self._clickhouse, request.market_id, request.time, depth)
        if found is None:
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)
        return found

    async def GetCalibration(
        self, request: pb.GetCalibrationRequest, context: Context
    ) -> pb.GetCalibrationResponse:
        if not 0 <= request.hours_before <= calibration.HOURS_MAX:
            raise _bad("hours_before", f"must be between 0 and {calibration.HOURS_MAX}")
        return await self._calibration.ask(request.hours_before)

    async def GetProgress(self, request: pb.GetProgressRequest, context: Context) -> pb.GetProgressResponse:
        if request.market_id:
            _id(request.market_id)
        standing = self._standing()
        return pb.GetProgressResponse(
            topics=[
                pb.TopicProgress(topic=topic.value, seq=await self._seq(topic, request.market_id))
                for topic in Topic
            ],
            is_writer=standing.is_writer,
            is_clickhouse_there=standing.is_clickhouse_there,
            has_caught_up=standing.has_caught_up,
        )

    async def _seq(self, topic: Topic, market_id: str) -> int:
        if not market_id:
            return 0
        sql = f"SELECT max(seq) FROM {main_table(topic).name} WHERE market_id = {{market:UUID}} SETTINGS final = 0"
        seq: int = (await self._clickhouse.rows(sql, {"market": market_id}))[0][0]
        return seq

    async def _must_be_known(self, market_id: str) -> None:
        """Here, or in PostgreSQL: it may be so new that its first event is still on its way."""
        sql = "SELECT 1 FROM prices WHERE market_id = {market:UUID} LIMIT 1 SETTINGS final = 0"
        if await self._clickhouse.rows(sql, {"market": market_id}):
            return
        if not await self._database.has_market(market_id):
            raise ApiError(ErrorCode.MARKET_NOT_FOUND)

    async def _compute_leaders(self, question: tuple[pb.Metric, pb.Period]) -> pb.GetLeaderboardResponse:
        metric, period = question
        now = self._clock.now_micros()
        rows = await leaderboards.leaders(self._clickhouse, metric, period, now)
        names = await self._database.names([row.user_id for row in rows])
        for row in rows:
            row.display_name = names.get(row.user_id, "")
        return pb.GetLeaderboardResponse(rows=rows, time=now)


def _id(value: str) -> None:
    if not is_canonical_uuid(value):
        raise _bad("market_id", "must be a lower-case UUID")


def _time(name: str, value: int) -> None:
    if not 0 <= value <= TIME_MAX:
        raise _bad(name, "must lie between 1970 and 2100")


def _count(name: str, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise _bad(name, f"must be between 0 and {most}")
    return value


def _bad(name: str, detail: str) -> ApiError:
    return ApiError(ErrorCode.INVALID_ARGUMENT, fields=[FieldError(f"/{name}", detail)])

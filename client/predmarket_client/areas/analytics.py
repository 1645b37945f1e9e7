"""Figures over all markets. They follow the trades by about a second."""

from predmarket_client.caller import Caller
from predmarket_client.shapes.analytics import Calibration, Leaderboard, Metric, Period


class Analytics:
    """`client.analytics`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def leaderboard(
        self, *, metric: Metric = "profit", period: Period = "all", limit: int = 50
    ) -> Leaderboard:
        """Who gained or traded most, at most 200 rows."""
        query = {"metric": metric, "period": period, "limit": limit}
        return await self._caller.get("/v1/leaderboard", Leaderboard, query=query)

    async def calibration(self, *, hours_before: int = 0) -> Calibration:
        """How good the probabilities of resolved markets were, so many hours before the decision."""
        return await self._caller.get("/v1/calibration", Calibration, query={"hours_before": hours_before})

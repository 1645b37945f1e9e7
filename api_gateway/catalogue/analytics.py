"""Routes of figures over time."""

from api_gateway import analytics, models
from api_gateway.answers import analytics as answers
from api_gateway.routing import Access, Route
from runtime.errors import ErrorCode

AREA = "analytics"
_LATER = "It follows the trades by about a second."


def routes() -> list[Route]:
    """What everybody may read."""
    return [
        Route(
            method="GET",
            path="/v1/markets/{id}/candles",
            handler=analytics.candles,
            access=Access.PUBLIC,
            area=AREA,
            summary="Candles of the probability, the best bid and ask, and the volume",
            description="Prices are P_YES; bid and ask are those of book and pool together, in YES prices. `limit` "
            f"counts intervals, also those in which nothing happened, which are left out. {_LATER}",
            query=models.CandlesQuery,
            answers={200: answers.Candles},
            errors=(ErrorCode.MARKET_NOT_FOUND,),
        ),
        Route(
            method="GET",
            path="/v1/leaderboard",
            handler=analytics.leaderboard,
            access=Access.PUBLIC,
            area=AREA,
            summary="Who gained or traded most",
            description=f"Shares are marked at P_YES. The house takes no part. {_LATER}",
            query=models.LeaderboardQuery,
            answers={200: answers.Leaderboard},
        ),
        Route(
            method="GET",
            path="/v1/calibration",
            handler=analytics.calibration,
            access=Access.PUBLIC,
            area=AREA,
            summary="How good the probabilities of resolved markets were",
            description="Judges the probability in force `hours_before` the decision.",
            query=models.CalibrationQuery,
            answers={200: answers.Calibration},
        ),
    ]

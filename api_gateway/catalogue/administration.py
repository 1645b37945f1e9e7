"""Routes of /v1/admin."""

from typing import Any

from api_gateway import admin_models as models
from api_gateway import administration, history, users
from api_gateway.answers import admin as answers
from api_gateway.answers.accounts import User
from api_gateway.answers.base import Page
from api_gateway.answers.markets import AdminMarket
from api_gateway.models import Page as PageQuery
from api_gateway.routing import Access, Bucket, Repeats, Route, Scope
from runtime.errors import ErrorCode

AREA = "administration"
KEY = (ErrorCode.IDEMPOTENCY_KEY_REUSED, ErrorCode.IDEMPOTENCY_IN_FLIGHT, ErrorCode.CONCURRENT_CHANGE)
STEP = (ErrorCode.MARKET_NOT_FOUND, ErrorCode.MARKET_NOT_ACTIVE, ErrorCode.MARKET_CLOSED, *KEY)
FUNDS = (ErrorCode.INSUFFICIENT_FUNDS, ErrorCode.AMOUNT_TOO_SMALL, ErrorCode.TREASURY_SHORTFALL)
USER = (ErrorCode.USER_NOT_FOUND, ErrorCode.LAST_ADMIN, ErrorCode.IDEMPOTENCY_KEY_REUSED)


def routes() -> list[Route]:
    """Administrators only, with access tokens only."""
    return [*_terms(), *_steps(), *_users(), *_money(), *_log()]


def _route(method: str, path: str, **rest: Any) -> Route:
    return Route(
        method=method,
        path=f"/v1/admin/{path}",
        access=Access.ADMIN,
        scope=Scope.PERSON,
        bucket=Bucket.ADMIN,
        area=AREA,
        repeats=Repeats.NOTHING if method == "GET" else Repeats.ONCE,
        **rest,
    )


def _terms() -> list[Route]:
    return [
        _route(
            "POST",
            "markets",
            handler=administration.create,
            summary="A new market, as a DRAFT",
            body=models.Terms,
            answers={201: AdminMarket},
            errors=(*KEY, ErrorCode.AMOUNT_TOO_SMALL),
            example={"question": "Will it rain tomorrow?", "liquidity_micros": 1_000_000_000},
        ),
        _route(
            "PATCH",
            "markets/{id}",
            handler=administration.edit,
            summary="Other terms: what is absent stays",
            description="Once activated only `description` and `closes_at` may differ.",
            body=models.EditTerms,
            answers={200: AdminMarket},
            errors=(*STEP, ErrorCode.CONFLICT_OF_INTEREST, ErrorCode.AMOUNT_TOO_SMALL),
            example={"description": "Measured at noon."},
        ),
        _route(
            "DELETE",
            "markets/{id}",
            handler=administration.delete,
            summary="Withdraws a DRAFT",
            answers={204: None},
            errors=STEP,
        ),
    ]


def _steps() -> list[Route]:
    return [
        _step("activate", "Opens a DRAFT; the treasury pays its liquidity", models.Step, AdminMarket, FUNDS),
        _step("pause", "Stops trading; cancels still work", models.Step, AdminMarket),
        _step("resume", "Trades again", models.Step, AdminMarket),
        _step(
            "resolve",
            "Decides; holders are paid in steps that follow by themselves",
            models.Resolve,
            answers.DecidedMarket,
            (ErrorCode.CONFLICT_OF_INTEREST,),
            {"outcome": "YES", "reason": "It did.", "dry_run": True},
        ),
        _step(
            "cancel",
            "Gives cost bases back",
            models.CancelMarket,
            answers.DecidedMarket,
            (ErrorCode.CONFLICT_OF_INTEREST, ErrorCode.TREASURY_SHORTFALL),
            {"reason": "It cannot be decided.", "dry_run": True},
        ),
    ]


def _step(
    verb: str,
    summary: str,
    body: Any,
    answer: Any,
    errors: tuple[ErrorCode, ...] = (),
    example: dict[str, Any] | None = None,
) -> Route:
    return _route(
        "POST",
        f"markets/{{id}}/{verb}",
        handler=getattr(administration, verb),
        summary=summary,
        body=body,
        answers={200: answer},
        errors=(*STEP, *errors),
        example=example if example is not None else {"dry_run": False},
    )


def _users() -> list[Route]:
    return [
        _route(
            "GET",
            "users",
            handler=users.listed,
            summary="Accounts, newest first",
            query=models.UsersPage,
            answers={200: Page[User]},
        ),
        _route(
            "GET",
            "users/{id}",
            handler=users.one,
            summary="One account",
            answers={200: User},
            errors=(ErrorCode.USER_NOT_FOUND,),
        ),
        _route(
            "POST",
            "users/{id}/role",
            handler=users.set_role,
            summary="Another role, within 5 seconds everywhere",
            body=models.SetRole,
            answers={200: User},
            errors=USER,
            example={"role": "analyst", "reason": "She reads the figures now."},
        ),
        _route(
            "POST",
            "users/{id}/suspend",
            handler=users.suspend,
            summary="No log-in, no tokens, no open orders",
            body=models.Suspension,
            answers={200: User},
            errors=USER,
            example={"reason": "Asked for it."},
        ),
        _route(
            "POST",
            "users/{id}/restore",
            handler=users.restore,
            summary="In use again",
            body=models.Suspension,
            answers={200: User},
            errors=USER,
            example={"reason": "Asked for it."},
        ),
    ]


def _money() -> list[Route]:
    granting = (ErrorCode.INSUFFICIENT_FUNDS, ErrorCode.GRANTS_EXHAUSTED, *KEY)
    example = {"kind": "PROMOTION", "amount_micros": 5_000_000, "reason": "Welcome."}
    return [
        _route(
            "POST",
            "users/{id}/grants",
            handler=administration.grant,
            summary="Points for one user; a negative amount takes back",
            description="Needs an `Idempotency-Key`. Nobody grants points to himself.",
            body=models.Grant,
            answers={201: answers.GrantDone},
            errors=(ErrorCode.USER_NOT_FOUND, *granting),
            example=example,
        ),
        _route(
            "POST",
            "treasury/grants",
            handler=administration.grant_treasury,
            summary="Points for the treasury, which pays for markets' liquidity",
            description="Needs an `Idempotency-Key`.",
            body=models.Grant,
            answers={201: answers.GrantDone},
            errors=granting,
            example=example,
        ),
        _route(
            "POST",
            "treasury/sweep",
            handler=administration.sweep,
            summary="One market's revenue to the treasury",
            body=models.Sweep,
            answers={200: answers.SweepDone},
            errors=(*STEP, ErrorCode.AMOUNT_TOO_SMALL),
            example={"market_id": "<market_id>"},
        ),
        _route(
            "GET",
            "treasury",
            handler=history.treasury,
            summary="The house's points, and all points there are",
            answers={200: answers.Treasury},
        ),
        _route(
            "GET",
            "revenue",
            handler=history.revenue,
            summary="What each market brings the house, newest first",
            query=PageQuery,
            answers={200: Page[answers.RevenueRow]},
        ),
    ]


def _log() -> list[Route]:
    return [
        _route(
            "GET",
            "audit",
            handler=history.audit,
            summary="Who did what, why; newest first",
            query=models.AuditPage,
            answers={200: Page[answers.AuditRow]},
        ),
    ]

"""For administrators: markets' terms and lifecycle, users, the house's points, the audit log."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar

from predmarket_client.caller import Caller
from predmarket_client.paging import Page, Pages
from predmarket_client.shapes.accounts import Role, User
from predmarket_client.shapes.admin import AuditRow, Grant, Revenue, SettledMarket, Sweep, Treasury
from predmarket_client.shapes.markets import AdminMarket

T = TypeVar("T")
PAGE_ROWS = 100
GrantKind = Literal["PROMOTION", "REWARD", "CORRECTION"]
UserStatus = Literal["ACTIVE", "SUSPENDED"]
Verdict = Literal["YES", "NO", "AMBIGUOUS"]


class Admin:
    """`client.admin`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create_market(
        self,
        question: str,
        *,
        liquidity_micros: int,
        initial_probability_micros: int = 500_000,
        description: str = "",
        rules: str = "",
        resolution_source: str = "",
        category: str = "",
        tick_micros: int = 10_000,
        fee_bps: int | None = None,
        opens_at: datetime | None = None,
        closes_at: datetime | None = None,
        idempotency_key: str | None = None,
    ) -> AdminMarket:
        """A DRAFT. Times need a time zone."""
        body: dict[str, Any] = {
            "question": question,
            "liquidity_micros": liquidity_micros,
            "initial_probability_micros": initial_probability_micros,
            "description": description,
            "rules": rules,
            "resolution_source": resolution_source,
            "category": category,
            "tick_micros": tick_micros,
            "fee_bps": fee_bps,
            "opens_at": opens_at,
            "closes_at": closes_at,
        }
        return await self._caller.write(
            "POST", "/v1/admin/markets", AdminMarket, body=body, idempotency_key=idempotency_key
        )

    async def edit_market(self, market_id: str, terms: Mapping[str, Any]) -> AdminMarket:
        """Terms by name; those not named stay, a time that is None is taken away."""
        path = f"/v1/admin/markets/{market_id}"
        return await self._caller.write("PATCH", path, AdminMarket, body=dict(terms))

    async def delete_market(self, market_id: str) -> None:
        """Withdraws a DRAFT."""
        await self._caller.write("DELETE", f"/v1/admin/markets/{market_id}", type(None))

    async def activate(self, market_id: str, *, dry_run: bool = False) -> AdminMarket:
        """Opens a DRAFT; the treasury pays its liquidity."""
        return await self._step(market_id, "activate", AdminMarket, dry_run=dry_run)

    async def pause(self, market_id: str, *, dry_run: bool = False) -> AdminMarket:
        """Stops trading; orders may be cancelled."""
        return await self._step(market_id, "pause", AdminMarket, dry_run=dry_run)

    async def resume(self, market_id: str, *, dry_run: bool = False) -> AdminMarket:
        """Trades again."""
        return await self._step(market_id, "resume", AdminMarket, dry_run=dry_run)

    async def resolve(
        self, market_id: str, outcome: Verdict, *, reason: str, dry_run: bool = False
    ) -> SettledMarket:
        """Decides; a dry run shows every payout first."""
        more = {"outcome": outcome, "reason": reason}
        return await self._step(market_id, "resolve", SettledMarket, dry_run=dry_run, **more)

    async def cancel(
        self, market_id: str, *, reason: str, pro_rata: bool = False, dry_run: bool = False
    ) -> SettledMarket:
        """Gives cost bases back. TREASURY_SHORTFALL tells what is missing; `pro_rata` then shares what there is."""
        more = {"reason": reason, "pro_rata": pro_rata}
        return await self._step(market_id, "cancel", SettledMarket, dry_run=dry_run, **more)

    async def grant(
        self,
        user_id: str,
        amount_micros: int,
        *,
        kind: GrantKind,
        reason: str,
        idempotency_key: str | None = None,
    ) -> Grant:
        """Points for one user; a negative amount takes back, never below zero."""
        body = {"kind": kind, "amount_micros": amount_micros, "reason": reason}
        path = f"/v1/admin/users/{user_id}/grants"
        return await self._caller.write("POST", path, Grant, body=body, idempotency_key=idempotency_key)

    async def grant_treasury(
        self, amount_micros: int, *, kind: GrantKind, reason: str, idempotency_key: str | None = None
    ) -> Grant:
        """Points for the house, which pays markets' liquidity."""
        body = {"kind": kind, "amount_micros": amount_micros, "reason": reason}
        return await self._caller.write(
            "POST", "/v1/admin/treasury/grants", Grant, body=body, idempotency_key=idempotency_key
        )

    async def treasury(self) -> Treasury:
        """What the house has."""
        return await self._caller.get("/v1/admin/treasury", Treasury)

    def revenue(self, *, page_rows: int = PAGE_ROWS) -> Pages[Revenue]:
        """By market, newest first."""

        async def fetch(cursor: str | None) -> Page[Revenue]:
            query = {"limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/admin/revenue", Page[Revenue], query=query)

        return Pages(fetch)

    async def sweep(self, market_id: str) -> Sweep:
        """One market's revenue to the treasury."""
        path, body = "/v1/admin/treasury/sweep", {"market_id": market_id}
        return await self._caller.write("POST", path, Sweep, body=body)

    def users(
        self,
        *,
        q: str | None = None,
        role: Role | None = None,
        status: UserStatus | None = None,
        page_rows: int = PAGE_ROWS,
    ) -> Pages[User]:
        """Accounts, newest first; `q` is part of an e-mail address or name, or a whole user_id."""

        async def fetch(cursor: str | None) -> Page[User]:
            query = {"q": q, "role": role, "status": status, "limit": page_rows, "cursor": cursor}
            return await self._caller.get("/v1/admin/users", Page[User], query=query)

        return Pages(fetch)

    async def user(self, user_id: str) -> User:
        """One account."""
        return await self._caller.get(f"/v1/admin/users/{user_id}", User)

    async def set_role(self, user_id: str, role: Literal["user", "analyst", "admin"], *, reason: str) -> User:
        """In effect everywhere within 5 seconds. An analyst loses the open orders."""
        return await self._change_user(user_id, "role", role=role, reason=reason)

    async def suspend(self, user_id: str, *, reason: str) -> User:
        """No log-in; sessions, tokens, API keys and open orders end."""
        return await self._change_user(user_id, "suspend", reason=reason)

    async def restore(self, user_id: str, *, reason: str) -> User:
        """May log in again; API keys work again."""
        return await self._change_user(user_id, "restore", reason=reason)

    def audit(
        self,
        *,
        actor_id: str | None = None,
        target: str | None = None,
        action: str | None = None,
        page_rows: int = PAGE_ROWS,
    ) -> Pages[AuditRow]:
        """Who did what, why; newest first."""

        async def fetch(cursor: str | None) -> Page[AuditRow]:
            query = {
                "actor_id": actor_id,
                "target": target,
                "action": action,
                "limit": page_rows,
                "cursor": cursor,
            }
            return await self._caller.get("/v1/admin/audit", Page[AuditRow], query=query)

        return Pages(fetch)

    async def _change_user(self, user_id: str, verb: str, **body: str) -> User:
        return await self._caller.write("POST", f"/v1/admin/users/{user_id}/{verb}", User, body=body)

    async def _step(self, market_id: str, verb: str, answer: type[T], **body: Any) -> T:
        return await self._caller.write("POST", f"/v1/admin/markets/{market_id}/{verb}", answer, body=body)

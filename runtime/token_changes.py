"""Which tokens are over before their time: a copy of auth_service's feed, asked for every second in the background.

A change of role, a suspension and an ended session are known here about a second later. While auth_service is away
nothing new is learned: tokens go on working until they expire (minutes), which is the price of its outage not being
everybody's.
"""

import asyncio
from typing import Final

from runtime import metrics
from runtime.clock import Clock
from runtime.credentials import Authority, Subject, TokenChange
from runtime.errors import ApiError, ErrorCode
from runtime.identity import Identity
from runtime.logs import get_logger

log = get_logger(__name__)

ASK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 60.0


class KnownChanges:
    """What is over. Bounded by the feed: it holds what was changed within a token's lifetime, and each change is
    forgotten when the last token it is about has expired."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over: dict[Subject, dict[str, TokenChange]] = {subject: {} for subject in Subject}
        self._cursor = ""
        self._is_away = False
        self._swept_at = clock.monotonic_seconds()

    def is_over(self, identity: Identity) -> bool:
        """Whether the credential behind this identity has ended, or its owner's access has changed since."""
        if identity.session_id and identity.session_id in self._over[Subject.SESSION]:
            return True
        if identity.api_key_id and identity.api_key_id in self._over[Subject.API_KEY]:
            return True
        changed = self._over[Subject.USER].get(identity.user_id)
        return changed is not None and identity.version < changed.minimum_version

    def apply(self, change: TokenChange) -> None:
        """From now on. An older change of the same subject, or the same one again, changes nothing."""
        known = self._over[change.subject].get(change.subject_id)
        if known is None or known.minimum_version <= change.minimum_version:
            self._over[change.subject][change.subject_id] = change

    async def follow(self, authority: Authority) -> None:
        """Asks for ever; ends by being cancelled."""
        while True:
            is_more = await self._ask(authority)
            if not is_more:
                await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, authority: Authority) -> bool:
        try:
            answer = await authority.token_changes(self._cursor)
        except ApiError as error:
            self._note_away(error)
            return False
        for change in answer.changes:
            self.apply(change)
        self._cursor = answer.next_cursor
        if self._is_away:
            log.info("the feed of token changes is back")
        self._is_away = False
        metrics.TOKEN_CHANGES_AT.set(self._clock.now_micros() / 1e6)
        self._sweep()
        return answer.is_more

    def _note_away(self, error: ApiError) -> None:
        if error.code is ErrorCode.INVALID_ARGUMENT:
            self._cursor = ""  # not what the database gave out: from the start
        if not self._is_away:
            log.warning(
                "the feed of token changes is away; tokens work until they expire", code=str(error.code)
            )
        self._is_away = True

    def _sweep(self) -> None:
        if self._clock.monotonic_seconds() - self._swept_at < SWEEP_SECONDS:
            return
        self._swept_at = self._clock.monotonic_seconds()
        now = self._clock.now_micros()
        for subject, known in self._over.items():
            self._over[subject] = {name: each for name, each in known.items() if each.matters_until > now}

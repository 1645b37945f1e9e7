"""The caller's account, and how he gets into it."""

import msgspec

from predmarket_client.caller import Caller, decode, new_key
from predmarket_client.credentials import PasswordLogin
from predmarket_client.retries import RetryPolicy
from predmarket_client.shapes.accounts import Session, Ticket, Tokens, User

ONCE = RetryPolicy(attempts_max=1)


class SessionsEnded(msgspec.Struct, frozen=True):
    """How many it was."""

    sessions_ended: int


class Accounts:
    """`client.accounts`."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def register(self, email: str, password: str, display_name: str = "") -> Session:
        """A new account and its first session. A client made with the same e-mail and password goes on with it."""
        body = {"email": email, "password": password, "display_name": display_name}
        session, date = await begun(self._caller, "/v1/auth/register", body)
        credentials = self._caller.credentials
        if isinstance(credentials, PasswordLogin) and credentials.email == email:
            credentials.take(session, date)
        return session

    async def log_in(self, email: str, password: str) -> Session:
        """A session, for who keeps tokens by himself; a client made with e-mail and password does this on its own."""
        session, _ = await begun(self._caller, "/v1/auth/login", {"email": email, "password": password})
        return session

    async def refresh(self, refresh_token: str) -> Tokens:
        """The next tokens. Never repeated here: a refresh token that is shown twice ends its session."""
        tokens, _ = await refreshed(self._caller, refresh_token)
        return tokens

    async def log_out(self, refresh_token: str | None = None) -> None:
        """End the session of this token, or the one the client uses."""
        credentials = self._caller.credentials
        if refresh_token is None and isinstance(credentials, PasswordLogin):
            refresh_token = credentials.forget()
            if refresh_token is None:
                return  # there was no session
        body = {} if refresh_token is None else {"refresh_token": refresh_token}
        await self._caller.write("POST", "/v1/auth/logout", type(None), body=body)

    async def me(self) -> User:
        """The caller's own account."""
        return await self._caller.get("/v1/me", User)

    async def rename(self, display_name: str) -> User:
        """A new display name."""
        return await self._caller.write("PATCH", "/v1/me", User, body={"display_name": display_name})

    async def change_password(self, current_password: str, new_password: str) -> int:
        """Ends all other sessions, and says how many. A client made with the old password goes on with the new one."""
        body = {"current_password": current_password, "new_password": new_password}
        answer = await self._caller.write("POST", "/v1/auth/password/change", SessionsEnded, body=body)
        if isinstance(self._caller.credentials, PasswordLogin):
            self._caller.credentials.password_changed(new_password)
        return answer.sessions_ended

    async def forgot_password(self, email: str) -> None:
        """Sends a mail with a reset token, if there is such an account; nobody is told whether there is."""
        await self._caller.send(
            "POST", "/v1/auth/password/forgot", body={"email": email}, key=new_key(), anonymous=True
        )

    async def reset_password(self, token: str, new_password: str) -> int:
        """By the token of the mail, which works once. Ends all sessions, and says how many."""
        body = {"token": token, "new_password": new_password}
        reply = await self._caller.send(
            "POST", "/v1/auth/password/reset", body=body, key=new_key(), anonymous=True
        )
        return decode(reply.body, SessionsEnded).sessions_ended

    async def ws_ticket(self) -> Ticket:
        """For a browser's WebSocket; `client.stream()` needs none. Needs a session, not an API key."""
        return await self._caller.write("POST", "/v1/ws-tickets", Ticket)


async def begun(caller: Caller, path: str, body: dict[str, str]) -> tuple[Session, str | None]:
    """A new session, and the server's date of that moment."""
    reply = await caller.send("POST", path, body=body, key=new_key(), anonymous=True)
    return decode(reply.body, Session), reply.headers.get("Date")


async def refreshed(caller: Caller, refresh_token: str) -> tuple[Tokens, str | None]:
    """The next tokens, asked for once, and the server's date."""
    body = {"refresh_token": refresh_token}
    reply = await caller.send(
        "POST", "/v1/auth/refresh", body=body, key=new_key(), anonymous=True, retries=ONCE
    )
    return decode(reply.body, Tokens), reply.headers.get("Date")

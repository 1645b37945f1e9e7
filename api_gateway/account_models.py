"""Bodies of /v1/auth, /v1/me, /v1/api-keys, /v1/sessions. What a good password or name is, auth_service says."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from api_gateway.models import Strict, Time

Email = Annotated[str, Field(max_length=320, examples=["ann@example.org"])]
Password = Annotated[SecretStr, Field(max_length=1_024)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4_096)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


class Begins(Strict):
    """What begins a session."""

    cookies: bool = Field(
        default=False,
        description="For browsers: the tokens come as cookies, and the body has null in their place and a "
        "`csrf_token`, which every request that changes something repeats in `X-CSRF-Token`.",
    )


class Register(Begins):
    """A new account."""

    email: Email
    password: Password = Field(description="8..64 characters, not one of the commonest.")
    display_name: str = Field(default="", max_length=200, description="Empty: a neutral name is made up.")


class LogIn(Begins):
    """Who wants a session."""

    email: Email
    password: Password


class Refresh(Strict):
    """A refresh token; it works once."""

    refresh_token: Secret


class LogOut(Strict):
    """Without a token the session of the access token ends."""

    refresh_token: SecretStr | None = Field(default=None, max_length=4_096)


class Authorize(Strict):
    """PKCE, first half: what the client that wants a session of its own was started with."""

    client_id: Text
    redirect_uri: Annotated[str, Field(min_length=1, max_length=2_000)]
    code_challenge: Text = Field(description="Base64url of the SHA-256 of the verifier, without padding.")
    code_challenge_method: Literal["S256"]


class ExchangeCode(Begins):
    """PKCE, second half: the code and the verifier the challenge was made from."""

    code: Secret
    code_verifier: Secret
    client_id: Text
    redirect_uri: Annotated[str, Field(min_length=1, max_length=2_000)]


class ChangePassword(Strict):
    """The one in use and the next one."""

    current_password: Password
    new_password: Password


class ForgotPassword(Strict):
    """Where to send the mail, if there is such an account."""

    email: Email


class ResetPassword(Strict):
    """The token of the mail and the next password."""

    token: Secret
    new_password: Password


class UpdateMe(Strict):
    """What is absent stays."""

    display_name: str | None = Field(default=None, max_length=200)


class CreateApiKey(Strict):
    """A key for a bot."""

    name: Annotated[str, Field(min_length=1, max_length=50)]
    scopes: Annotated[list[Literal["read", "trade"]], Field(min_length=1, max_length=2)]
    expires_at: Time | None = Field(default=None, description="Absent: never.")


class SessionsQuery(Strict):
    """Which sessions to end."""

    current_too: Literal["true", "false"] = Field(
        default="false", description="The session of the access token, too."
    )

"""Routes of /v1/auth and /v1/me."""

from typing import Any

from api_gateway import account_models as models
from api_gateway import accounts
from api_gateway.answers import accounts as answers
from api_gateway.routing import Access, Repeats, Route, Scope
from runtime.errors import ErrorCode

AREA = "accounts"
PASSWORD = "a good long password"
HASHING = (ErrorCode.OVERLOADED,)
CLIENT = {"client_id": "cli", "redirect_uri": "http://127.0.0.1:8976/callback"}
# The pair that RFC 7636 prints.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
COOKIES = (ErrorCode.COOKIES_NEED_HTTPS, ErrorCode.CSRF_REJECTED)


def routes() -> list[Route]:
    """Registration, sessions, passwords, PKCE, one's own account."""
    return [*_sessions(), *_pkce(), *_passwords(), *_me()]


def _open(path: str, **rest: Any) -> Route:
    return Route(method="POST", path=f"/v1/auth/{path}", access=Access.OPEN, area=AREA, **rest)


def _sessions() -> list[Route]:
    return [
        _open(
            "register",
            handler=accounts.register,
            summary="A new account and its first session",
            description="A replay answers with the account as it is now and a new session.",
            repeats=Repeats.ONCE,
            body=models.Register,
            answers={201: answers.NewSession},
            errors=(ErrorCode.EMAIL_TAKEN, ErrorCode.IDEMPOTENCY_KEY_REUSED, *COOKIES, *HASHING),
            example={"email": "<email>", "password": PASSWORD, "display_name": "Ann"},
        ),
        _open(
            "login",
            handler=accounts.log_in,
            summary="Opens a session",
            repeats=Repeats.AGAIN,
            body=models.LogIn,
            answers={200: answers.NewSession},
            errors=(ErrorCode.INVALID_CREDENTIALS, ErrorCode.ACCOUNT_SUSPENDED, *COOKIES, *HASHING),
            example={"email": "<email>", "password": PASSWORD},
        ),
        _open(
            "refresh",
            handler=accounts.refresh,
            summary="The next pair of tokens",
            description="A refresh token works once. Using it again ends the whole session.",
            repeats=Repeats.AGAIN,
            body=models.Refresh,
            answers={200: answers.Tokens},
            errors=(ErrorCode.REFRESH_TOKEN_INVALID, ErrorCode.ACCOUNT_SUSPENDED),
            example={"refresh_token": "<refresh_token>"},
        ),
        _open(
            "logout",
            handler=accounts.log_out,
            summary="Ends a session",
            description="That of the refresh token in the body, else that of the access token.",
            repeats=Repeats.AGAIN,
            body=models.LogOut,
            answers={204: None},
            errors=(ErrorCode.UNAUTHENTICATED, ErrorCode.FORBIDDEN, ErrorCode.CSRF_REJECTED),
            example={},
        ),
    ]


def _pkce() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/v1/auth/authorize",
            handler=accounts.authorize,
            access=Access.USER,
            scope=Scope.PERSON,
            area=AREA,
            summary="A code for another client of the caller (PKCE, S256)",
            description="Good once, for 60 seconds. Clients and their redirect URIs are a setting of the service.",
            repeats=Repeats.AGAIN,
            body=models.Authorize,
            answers={200: answers.AuthorizationCode},
            errors=(ErrorCode.ACCOUNT_SUSPENDED,),
            example={**CLIENT, "code_challenge": CHALLENGE, "code_challenge_method": "S256"},
        ),
        _open(
            "token",
            handler=accounts.exchange_code,
            summary="A session for a code and its verifier",
            description="The first attempt spends the code; a second one ends the session that the first one opened.",
            repeats=Repeats.AGAIN,
            body=models.ExchangeCode,
            answers={200: answers.NewSession},
            errors=(ErrorCode.AUTHORIZATION_CODE_INVALID, ErrorCode.ACCOUNT_SUSPENDED, *COOKIES),
            example={**CLIENT, "code": "<code>", "code_verifier": VERIFIER},
        ),
        Route(
            method="GET",
            path="/v1/.well-known/jwks.json",
            handler=accounts.json_web_keys,
            access=Access.PUBLIC,
            area=AREA,
            summary="The public keys that access tokens are signed with",
            answers={200: answers.JsonWebKeys},
        ),
    ]


def _passwords() -> list[Route]:
    return [
        Route(
            method="POST",
            path="/v1/auth/password/change",
            handler=accounts.change_password,
            access=Access.USER,
            scope=Scope.PERSON,
            area=AREA,
            summary="Another password; all other sessions end",
            repeats=Repeats.ONCE,
            body=models.ChangePassword,
            answers={200: answers.SessionsEnded},
            errors=(
                ErrorCode.INVALID_CREDENTIALS,
                ErrorCode.ACCOUNT_SUSPENDED,
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
                *HASHING,
            ),
            example={"current_password": PASSWORD, "new_password": PASSWORD + ", too"},
        ),
        _open(
            "password/forgot",
            handler=accounts.forgot_password,
            summary="Sends a mail with a reset token",
            description="The answer, and the time it takes, are the same whether or not there is such an account.",
            repeats=Repeats.AGAIN,
            body=models.ForgotPassword,
            answers={202: None},
            errors=HASHING,
            example={"email": "<email>"},
        ),
        _open(
            "password/reset",
            handler=accounts.reset_password,
            summary="Another password by a mailed token; all sessions end",
            repeats=Repeats.ONCE,
            body=models.ResetPassword,
            answers={200: answers.SessionsEnded},
            errors=(ErrorCode.RESET_TOKEN_INVALID, ErrorCode.IDEMPOTENCY_KEY_REUSED, *HASHING),
            example={"token": "<reset_token>", "new_password": PASSWORD + ", again"},
        ),
    ]


def _me() -> list[Route]:
    return [
        Route(
            method="GET",
            path="/v1/me",
            handler=accounts.me,
            access=Access.USER,
            scope=Scope.READ,
            area=AREA,
            summary="The caller's own account",
            answers={200: answers.User},
        ),
        Route(
            method="PATCH",
            path="/v1/me",
            handler=accounts.update_me,
            access=Access.USER,
            scope=Scope.PERSON,
            area=AREA,
            summary="Another display name",
            repeats=Repeats.ONCE,
            body=models.UpdateMe,
            answers={200: answers.User},
            errors=(ErrorCode.ACCOUNT_SUSPENDED, ErrorCode.IDEMPOTENCY_KEY_REUSED),
            example={"display_name": "Ann B."},
        ),
    ]

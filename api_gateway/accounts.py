"""/v1/auth and /v1/me."""

from typing import Any, TypeVar

import orjson

from api_gateway import account_models as models
from api_gateway import shapes
from api_gateway.routing import Answer, Call
from predmarket.auth.v1 import auth_pb2
from runtime.grpc_client import call as ask

# argon2id on a busy machine, and a moment for the first grant.
HASHING_SECONDS = 8.0
Beginning = TypeVar("Beginning", bound=models.Begins)


async def register(call: Call) -> Answer:
    """A new account and its first session."""
    body = _beginning(call, models.Register)
    request = auth_pb2.RegisterRequest(
        email=body.email,
        password=body.password.get_secret_value(),
        display_name=body.display_name,
        user_agent=call.user_agent,
        idempotency_key=call.idempotency_key,
    )
    answer = await ask(call.clients.auth.Register, request, deadline_seconds=HASHING_SECONDS)
    return Answer(_session(call, body, answer), status=201, replayed=answer.replayed)


async def log_in(call: Call) -> Answer:
    """A session."""
    body = _beginning(call, models.LogIn)
    request = auth_pb2.LogInRequest(
        email=body.email, password=body.password.get_secret_value(), user_agent=call.user_agent
    )
    answer = await ask(call.clients.auth.LogIn, request, deadline_seconds=HASHING_SECONDS)
    return Answer(_session(call, body, answer))


async def refresh(call: Call) -> Answer:
    """The next pair of tokens."""
    body = call.parsed(models.Refresh)
    request = auth_pb2.RefreshRequest(refresh_token=body.refresh_token.get_secret_value())
    answer = await ask(call.clients.auth.Refresh, request)
    return Answer(shapes.tokens(answer.tokens))


async def log_out(call: Call) -> Answer:
    """Ends a session."""
    body = call.parsed(models.LogOut)
    token = body.refresh_token.get_secret_value() if body.refresh_token else ""
    if not token and call.authorization is None and (session := call.visit.session()) is not None:
        token = session.refresh_token
        call.visit.end()
    request = auth_pb2.LogOutRequest(refresh_token=token)
    await ask(call.clients.auth.LogOut, request, authorization=call.authorization)
    return Answer(None, status=204)


async def authorize(call: Call) -> Answer:
    """A code for another client of the caller."""
    body = call.parsed(models.Authorize)
    request = auth_pb2.AuthorizeRequest(**body.model_dump())
    answer = await ask(call.clients.auth.Authorize, request, authorization=call.authorization)
    document = {
        "code": answer.code,
        "expires_at": shapes.time_of(answer.expires_at),
        "redirect_uri": answer.redirect_uri,
    }
    return Answer(document)


async def exchange_code(call: Call) -> Answer:
    """A session for a code and its verifier."""
    body = _beginning(call, models.ExchangeCode)
    request = auth_pb2.ExchangeCodeRequest(
        code=body.code.get_secret_value(),
        code_verifier=body.code_verifier.get_secret_value(),
        client_id=body.client_id,
        redirect_uri=body.redirect_uri,
        user_agent=call.user_agent,
    )
    return Answer(_session(call, body, await ask(call.clients.auth.ExchangeCode, request)))


async def change_password(call: Call) -> Answer:
    """The next password; other sessions end."""
    body = call.parsed(models.ChangePassword)
    request = auth_pb2.ChangePasswordRequest(
        current_password=body.current_password.get_secret_value(),
        new_password=body.new_password.get_secret_value(),
        idempotency_key=call.idempotency_key,
    )
    answer = await ask(
        call.clients.auth.ChangePassword,
        request,
        authorization=call.authorization,
        deadline_seconds=HASHING_SECONDS,
    )
    return Answer({"sessions_ended": answer.sessions_ended}, replayed=answer.replayed)


async def forgot_password(call: Call) -> Answer:
    """202 whether or not there is such an account."""
    body = call.parsed(models.ForgotPassword)
    await ask(call.clients.auth.ForgotPassword, auth_pb2.ForgotPasswordRequest(email=body.email))
    return Answer(None, status=202)


async def reset_password(call: Call) -> Answer:
    """The next password, by the token of a mail."""
    body = call.parsed(models.ResetPassword)
    request = auth_pb2.ResetPasswordRequest(
        token=body.token.get_secret_value(),
        new_password=body.new_password.get_secret_value(),
        idempotency_key=call.idempotency_key,
    )
    answer = await ask(call.clients.auth.ResetPassword, request, deadline_seconds=HASHING_SECONDS)
    return Answer({"sessions_ended": answer.sessions_ended}, replayed=answer.replayed)


async def json_web_keys(call: Call) -> Answer:
    """What access tokens are signed with."""
    answer = await ask(call.clients.auth.GetJwks, auth_pb2.GetJwksRequest())
    return Answer(orjson.loads(answer.jwks_json))


async def me(call: Call) -> Answer:
    """The caller's own account."""
    answer = await ask(call.clients.auth.GetMe, auth_pb2.GetMeRequest(), authorization=call.authorization)
    return Answer(shapes.user(answer.user))


async def update_me(call: Call) -> Answer:
    """Its new name."""
    body = call.parsed(models.UpdateMe)
    request = auth_pb2.UpdateMeRequest(display_name=body.display_name, idempotency_key=call.idempotency_key)
    answer = await ask(call.clients.auth.UpdateMe, request, authorization=call.authorization)
    return Answer(shapes.user(answer.user), replayed=answer.replayed)


def _beginning(call: Call, model: type[Beginning]) -> Beginning:
    """The body; that cookies would not be kept is said before anything is done."""
    body = call.parsed(model)
    if body.cookies:
        call.visit.check_can_keep()
    return body


def _session(call: Call, body: models.Begins, answer: Any) -> dict[str, Any]:
    document = {**shapes.tokens(answer.tokens), "user": shapes.user(answer.user), "csrf_token": None}
    if body.cookies:
        csrf_token = call.visit.begin(answer.tokens)
        document |= {"access_token": None, "refresh_token": None, "csrf_token": csrf_token}
    return document

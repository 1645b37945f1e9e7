"""/v1/auth and /v1/me."""

from api_gateway import models, shapes
from api_gateway.routing import Answer, Call
from predmarket.auth.v1 import auth_pb2
from runtime.grpc_client import call as ask

# argon2id on a busy machine, and a moment for the first grant.
HASHING_SECONDS = 8.0


async def register(call: Call) -> Answer:
    """A new account and its first session."""
    body = call.parsed(models.Register)
    request = auth_pb2.RegisterRequest(
        email=body.email,
        password=body.password.get_secret_value(),
        display_name=body.display_name,
        user_agent=call.user_agent,
    )
    answer = await ask(call.clients.auth.Register, request, deadline_seconds=HASHING_SECONDS)
    return Answer({**shapes.tokens(answer.tokens), "user": shapes.user(answer.user)}, status=201)


async def log_in(call: Call) -> Answer:
    """A session."""
    body = call.parsed(models.LogIn)
    request = auth_pb2.LogInRequest(
        email=body.email, password=body.password.get_secret_value(), user_agent=call.user_agent
    )
    answer = await ask(call.clients.auth.LogIn, request, deadline_seconds=HASHING_SECONDS)
    return Answer({**shapes.tokens(answer.tokens), "user": shapes.user(answer.user)})


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
    request = auth_pb2.LogOutRequest(refresh_token=token)
    await ask(call.clients.auth.LogOut, request, authorization=call.authorization)
    return Answer(None, status=204)


async def me(call: Call) -> Answer:
    """The caller's own account."""
    answer = await ask(call.clients.auth.GetMe, auth_pb2.GetMeRequest(), authorization=call.authorization)
    return Answer(shapes.user(answer.user))


async def update_me(call: Call) -> Answer:
    """Its new name."""
    body = call.parsed(models.UpdateMe)
    request = auth_pb2.UpdateMeRequest(display_name=body.display_name)
    answer = await ask(call.clients.auth.UpdateMe, request, authorization=call.authorization)
    return Answer(shapes.user(answer.user))

"""AuthService on gRPC: how one gets in, stays in, and leaves."""

from typing import Any

from auth_service import messages
from auth_service.accounts import Registration
from auth_service.messages import refusals
from auth_service.pkce import Client
from auth_service.rpc_parts import AuthRpcs
from auth_service.writes import intent_of, owner_of
from predmarket.auth.v1 import auth_pb2
from runtime.ids import parse_uuid

Context = Any  # grpc.aio.ServicerContext of whatever messages


class LogInRpcs(AuthRpcs):
    """Everything that hands out tokens, or takes them back."""

    async def Register(
        self, request: auth_pb2.RegisterRequest, context: Context
    ) -> auth_pb2.RegisterResponse:
        with refusals():
            asked = Registration.cleaned(
                email=request.email,
                password=request.password,
                display_name=request.display_name,
                user_agent=request.user_agent,
            )
            owner_id = owner_of(f"mailto:{asked.email.lower()}")
            intent = intent_of(request, owner_id, without=("email", "password", "user_agent"))
            made = await self._accounts.register(asked, intent)
        return auth_pb2.RegisterResponse(
            user=messages.user(made.account), tokens=messages.tokens(made.pair), replayed=made.is_replayed
        )

    async def LogIn(self, request: auth_pb2.LogInRequest, context: Context) -> auth_pb2.LogInResponse:
        with refusals():
            account, pair = await self._accounts.log_in(
                email=request.email, password=request.password, user_agent=request.user_agent
            )
        return auth_pb2.LogInResponse(user=messages.user(account), tokens=messages.tokens(pair))

    async def Refresh(self, request: auth_pb2.RefreshRequest, context: Context) -> auth_pb2.RefreshResponse:
        with refusals():
            pair = await self._accounts.refresh(request.refresh_token)
        return auth_pb2.RefreshResponse(tokens=messages.tokens(pair))

    async def LogOut(self, request: auth_pb2.LogOutRequest, context: Context) -> auth_pb2.LogOutResponse:
        session_id = None
        if not request.refresh_token:
            session_id = parse_uuid((await self._callers.person(context)).session_id)
        with refusals():
            await self._accounts.log_out(refresh_token=request.refresh_token, session_id=session_id)
        return auth_pb2.LogOutResponse()

    async def Authorize(
        self, request: auth_pb2.AuthorizeRequest, context: Context
    ) -> auth_pb2.AuthorizeResponse:
        caller = await self._callers.person(context)
        client = Client(request.client_id, request.redirect_uri)
        with refusals():
            code = await self._pkce.authorize(
                caller, client, challenge=request.code_challenge, method=request.code_challenge_method
            )
        return auth_pb2.AuthorizeResponse(
            code=code.code, expires_at=code.expires_at, redirect_uri=client.redirect_uri
        )

    async def ExchangeCode(
        self, request: auth_pb2.ExchangeCodeRequest, context: Context
    ) -> auth_pb2.ExchangeCodeResponse:
        client = Client(request.client_id, request.redirect_uri)
        with refusals():
            account, pair = await self._pkce.exchange(
                client, code=request.code, verifier=request.code_verifier, user_agent=request.user_agent
            )
        return auth_pb2.ExchangeCodeResponse(user=messages.user(account), tokens=messages.tokens(pair))

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Context) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(jwks_json=self._keys.ring.jwks_json())

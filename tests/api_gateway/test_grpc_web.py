"""gRPC-Web by its bytes: both encodings, unary and streaming, errors, limits, CORS, and what goes wrong in between."""

import asyncio
import base64
from typing import Any

import aiohttp
import pytest

from api_gateway.grpc_web import EXPOSED_HEADERS, STREAMS_PER_CALLER_MAX
from predmarket.auth.v1 import auth_pb2
from predmarket.common.v1 import common_pb2
from predmarket.db.v1 import db_pb2
from predmarket.market.v1 import market_pb2
from predmarket.order.v1 import order_pb2
from runtime.metrics import REGISTRY
from tests.api_gateway.grpc_web_client import BINARY, ORDERS, TEXT, Answer, decode_chunks, framed, post
from tests.api_gateway.support import POINT, Suite, User, open_market
from tests.processes import SIDE_BY_SIDE

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "http://localhost:5173"
UNIMPLEMENTED = 12
MARKETS = "/predmarket.market.v1.MarketService"


def limit(market_id: str, price_micros: int = 100_000) -> order_pb2.PlaceOrderRequest:
    return order_pb2.PlaceOrderRequest(
        market_id=market_id,
        side=common_pb2.SIDE_BUY,
        outcome=common_pb2.OUTCOME_YES,
        type=order_pb2.ORDER_TYPE_LIMIT,
        price_micros=price_micros,
        quantity_micros=POINT,
    )


async def ask(suite: Suite, path: str, request: Any, user: User | None = None, **more: Any) -> Answer:
    if user is not None:
        more.setdefault("authorization", f"Bearer {user.token}")
    return await post(suite.http, suite.url, path, request, **more)


@pytest.mark.parametrize("content_type", [BINARY, "application/grpc-web", TEXT, f"{TEXT}+proto"])
async def test_a_unary_call_to_each_service(
    shared_suite: Suite, shared_admin: User, content_type: str
) -> None:
    market_id, ann = await open_market(shared_admin), await shared_suite.user("ann")
    answer = await ask(shared_suite, f"{ORDERS}/PlaceOrder", limit(market_id), ann, content_type=content_type)
    assert (answer.http_status, answer.status) == (200, 0)
    assert answer.headers["Content-Type"] == content_type
    placed = order_pb2.PlaceOrderResponse.FromString(answer.messages[0])
    assert placed.order.user_id == ann.user_id
    answer = await ask(
        shared_suite,
        "/predmarket.db.v1.DbService/ListMarkets",
        db_pb2.ListMarketsRequest(page_size=1),  # the newest
        content_type=content_type,
    )
    listed = db_pb2.ListMarketsResponse.FromString(answer.messages[0])
    assert [each.market.market_id for each in listed.markets] == [market_id]
    answer = await ask(
        shared_suite,
        f"{MARKETS}/GetBook",
        market_pb2.GetBookRequest(market_id=market_id, merged=True, depth=1),
        content_type=content_type,
    )
    book = market_pb2.GetBookResponse.FromString(answer.messages[0])
    assert [level.price_micros for level in (*book.bids, *book.asks)] == [490_000, 510_000]
    answer = await ask(
        shared_suite,
        "/predmarket.auth.v1.AuthService/GetMe",
        auth_pb2.GetMeRequest(),
        ann,
        content_type=content_type,
    )
    assert auth_pb2.GetMeResponse.FromString(answer.messages[0]).user.email == ann.email


@pytest.mark.parametrize("content_type", [BINARY, TEXT])
async def test_a_stream_brings_each_message_as_it_happens_and_ends_with_its_deadline(
    shared_suite: Suite, shared_admin: User, content_type: str
) -> None:
    market_id, ann = await open_market(shared_admin), await shared_suite.user("ann")
    body = framed(order_pb2.WatchBookRequest(market_id=market_id).SerializeToString())
    headers = {"Content-Type": content_type, "grpc-timeout": "4S"}
    if content_type == TEXT:
        body = base64.b64encode(body)
    received: list[order_pb2.WatchBookResponse] = []
    async with shared_suite.http.post(
        f"{shared_suite.url}{ORDERS}/WatchBook", data=body, headers=headers
    ) as response:
        buffer = b""
        async for chunk in response.content.iter_any():
            buffer += decode_chunks(chunk) if content_type == TEXT else chunk
            while len(buffer) >= 5 and len(buffer) >= 5 + (size := int.from_bytes(buffer[1:5])):
                flags, payload, buffer = buffer[0], buffer[5 : 5 + size], buffer[5 + size :]
                if flags == 0x80:
                    assert b"grpc-status:4\r\n" in payload
                    continue
                received.append(order_pb2.WatchBookResponse.FromString(payload))
                if len(received) == 1:
                    await ask(shared_suite, f"{ORDERS}/PlaceOrder", limit(market_id), ann)
    assert buffer == b""
    assert [message.is_snapshot for message in received] == [True, False]
    assert [(level.price_micros, level.quantity_micros) for level in received[1].bids] == [(100_000, POINT)]


async def test_prices_and_books_stream_until_the_deadline(shared_suite: Suite, shared_admin: User) -> None:
    market_id = await open_market(shared_admin)
    prices = market_pb2.StreamPricesRequest(market_ids=[market_id])
    book = market_pb2.StreamBookRequest(market_id=market_id, merged=True)
    answers = await asyncio.gather(
        ask(shared_suite, f"{MARKETS}/StreamPrices", prices, grpc_timeout="1S"),
        ask(shared_suite, f"{MARKETS}/StreamBook", book, grpc_timeout="1S"),
    )
    assert [(len(answer.messages), answer.status) for answer in answers] == [(1, 4), (1, 4)]
    assert market_pb2.StreamPricesResponse.FromString(answers[0].messages[0]).ticker.market_id == market_id
    assert market_pb2.StreamBookResponse.FromString(answers[1].messages[0]).is_snapshot


async def test_refusals_are_trailers_only_with_our_code(shared_suite: Suite, shared_admin: User) -> None:
    market_id, ann = await open_market(shared_admin), await shared_suite.user("ann")
    path = f"{ORDERS}/PlaceOrder"
    cases: list[tuple[Answer, int, str]] = [
        (await ask(shared_suite, path, limit(market_id)), 16, "UNAUTHENTICATED"),
        (await ask(shared_suite, path, limit(market_id), authorization="Bearer x"), 16, "UNAUTHENTICATED"),
        (await ask(shared_suite, path, limit(market_id, 105_000), ann), 9, "PRICE_NOT_ON_TICK"),
        (await ask(shared_suite, path, limit("x"), ann), 3, "INVALID_ARGUMENT"),
        (
            await ask(shared_suite, f"{ORDERS}/WatchBook", order_pb2.WatchBookRequest(market_id=ann.user_id)),
            5,
            "MARKET_NOT_FOUND",
        ),
    ]
    for answer, _status, code in cases:
        assert (answer.http_status, answer.messages, answer.is_trailers_only) == (200, [], True)
        assert answer.code == code, answer
        assert answer.status > 0
        assert answer.message
    assert cases[0][0].status == 16


async def test_services_for_services_and_client_streams_are_not_here(
    shared_suite: Suite, shared_admin: User
) -> None:
    for path in (
        "/predmarket.auth.v1.CredentialService/CheckApiKey",
        "/predmarket.auth.v1.CredentialService/ListTokenChanges",
        "/predmarket.order.v1.UserOrdersService/CancelOrdersOfUser",
        "/predmarket.order.v1.PointsService/GrantPoints",
        f"{ORDERS}/Trade",
        f"{ORDERS}/NoSuchMethod",
        f"{ORDERS}/%50laceOrder/..",
        "/predmarket.order.v1.Nothing/PlaceOrder",
    ):
        answer = await ask(shared_suite, path, order_pb2.PlaceOrderRequest(), shared_admin)
        assert answer.status == UNIMPLEMENTED or answer.http_status == 404, path
    assert (
        await ask(shared_suite, "/grpc.health.v1.Health/Check", order_pb2.PlaceOrderRequest())
    ).http_status == 404


LARGEST = 1024 * 1024
BAD_BODIES = {
    "empty": b"",
    "cut header": b"\x00\x00",
    "longer than it says": framed(b"abc") + b"x",
    "shorter than it says": framed(b"abc")[:-1],
    "two frames": framed(b"") * 2,
    "compressed": framed(b"abc", flags=1),
    "trailers": framed(b"grpc-status:0", flags=0x80),
    "a length of 4 GiB": b"\x00\xff\xff\xff\xff",
    "too large": framed(bytes(LARGEST + 1)),
    "not protobuf": framed(b"\xff" * 10),
    "text in binary": base64.b64encode(framed(b"")),
    "beyond every bound": bytes(2 * LARGEST),
}


async def test_bad_bodies_are_refused_without_an_internal_error(shared_suite: Suite) -> None:
    for name, body in BAD_BODIES.items():
        for content_type in (BINARY, TEXT):
            for raw in (body, base64.b64encode(body)):
                answer = await ask(
                    shared_suite, f"{ORDERS}/GetBook", None, raw=raw, content_type=content_type
                )
                assert answer.code in {"MALFORMED_REQUEST", "PAYLOAD_TOO_LARGE", "INVALID_ARGUMENT"}, name


async def test_other_content_types_are_refused(shared_suite: Suite) -> None:
    for content_type in ("application/json", "application/grpc", "text/plain", f"{BINARY};x", ""):
        answer = await ask(
            shared_suite, f"{ORDERS}/GetBook", order_pb2.GetBookRequest(), content_type=content_type
        )
        assert (answer.http_status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_deadlines_are_kept_and_bad_ones_refused(shared_suite: Suite, shared_admin: User) -> None:
    market_id = await open_market(shared_admin)
    request = order_pb2.GetBookRequest(market_id=market_id)
    for timeout in ("5S", "5000m", "00000001H", "99999999H"):
        assert (await ask(shared_suite, f"{ORDERS}/GetBook", request, grpc_timeout=timeout)).status == 0
    for timeout in ("1n", "0S"):
        assert (await ask(shared_suite, f"{ORDERS}/GetBook", request, grpc_timeout=timeout)).status == 4
    for timeout in ("", "5", "S", "-1S", "1.5S", "123456789S", "５S", "5s"):
        answer = await ask(shared_suite, f"{ORDERS}/GetBook", request, grpc_timeout=timeout)
        assert answer.code == "MALFORMED_REQUEST", timeout


async def test_pages_on_the_list_may_call_and_others_may_not(shared_suite: Suite, shared_admin: User) -> None:
    url = f"{shared_suite.url}{ORDERS}/GetBook"
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent",
    }
    async with shared_suite.http.options(url, headers={"Origin": PAGE, **asked}) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == PAGE
        assert response.headers["Access-Control-Allow-Methods"] == "POST"
        allowed = {name.strip() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed >= set(asked["Access-Control-Request-Headers"].split(","))
        assert "Access-Control-Allow-Credentials" not in response.headers
    for origin in (
        "http://localhost:5174",
        "https://localhost:5173",
        "null",
        "http://localhost:5173.example.org",
    ):
        async with shared_suite.http.options(url, headers={"Origin": origin, **asked}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
    market_id = await open_market(shared_admin)
    request = order_pb2.GetBookRequest(market_id=market_id)
    for message, is_good in ((request, True), (order_pb2.GetBookRequest(), False)):
        answer = await ask(shared_suite, f"{ORDERS}/GetBook", message, origin=PAGE)
        assert (answer.status == 0) is is_good
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Expose-Headers"] == EXPOSED_HEADERS
        assert answer.headers["Vary"] == "Origin"


async def test_metadata_of_a_client_goes_no_further_than_what_is_listed(
    shared_suite: Suite, shared_admin: User
) -> None:
    market_id, ann = await open_market(shared_admin), await shared_suite.user("ann")
    answer = await ask(
        shared_suite,
        f"{ORDERS}/PlaceOrder",
        limit(market_id),
        ann,
        x_request_id="mine-1",
        x_predmarket_counted="1",
        x_user_id=shared_admin.user_id,
    )
    assert answer.status == 0
    assert answer.headers["X-Request-Id"] == "mine-1"


async def test_a_client_that_goes_away_ends_its_stream_behind(
    shared_suite: Suite, shared_admin: User
) -> None:
    market_id = await open_market(shared_admin)

    def in_flight() -> float:
        """At order_service, which runs in this process."""
        return REGISTRY.get_sample_value("grpc_server_in_flight") or 0

    async def nothing_is_in_flight() -> None:
        async with asyncio.timeout(10):
            while in_flight():
                await asyncio.sleep(0.05)

    await nothing_is_in_flight()
    body = framed(order_pb2.WatchBookRequest(market_id=market_id).SerializeToString())
    async with aiohttp.ClientSession() as session:
        response = await session.post(
            f"{shared_suite.url}{ORDERS}/WatchBook", data=body, headers={"Content-Type": BINARY}
        )
        await response.content.readany()
        assert in_flight() >= 1
    await nothing_is_in_flight()


async def test_nobody_has_all_streams(shared_suite: Suite, shared_admin: User) -> None:
    market_id, ann = await open_market(shared_admin), await shared_suite.user("ann")
    path, request = f"{ORDERS}/WatchBook", order_pb2.WatchBookRequest(market_id=market_id)
    body, own = framed(request.SerializeToString()), {"Authorization": f"Bearer {ann.token}"}
    async with aiohttp.ClientSession() as session:
        for _ in range(STREAMS_PER_CALLER_MAX * SIDE_BY_SIDE):
            headers = {"Content-Type": BINARY, **own}
            await (await session.post(shared_suite.url + path, data=body, headers=headers)).content.readany()
        refused = await ask(shared_suite, path, request, ann, grpc_timeout="5S")
        assert refused.code == "OVERLOADED"
        others = await ask(shared_suite, path, request, await shared_suite.user("bob"), grpc_timeout="300m")
        assert others.messages
    async with asyncio.timeout(10):
        while not (await ask(shared_suite, path, request, ann, grpc_timeout="300m")).messages:
            await asyncio.sleep(0.05)

"""The head of the API's documents: the first steps, as commands that work when pasted into a shell."""

from typing import Final

WALKTHROUGH: Final = r"""
REST API of the Play-Prediction Engine: binary markets on virtual points. Every amount is an integer in micros
(1 Point = 1 share = 1,000,000), every time RFC 3339 in UTC, every id a lower-case UUID.
Errors are `application/problem+json` (RFC 9457) with a stable `code`; [all codes](/docs/errors) say what to do.
The live feed is described in [/asyncapi.yaml](/asyncapi.yaml), this API in [/openapi.json](/openapi.json).

## First steps

With `curl` and `python3`; `BASE` is where you read this.

```bash
BASE="${BASE:-http://127.0.0.1:8080}"
JSON='Content-Type: application/json'
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
key() { python3 -c 'import uuid; print(uuid.uuid4())'; }
EMAIL="ann-$(key)@example.org"
```

Register, and log in:

```bash
curl -sS --fail-with-body "$BASE/v1/auth/register" -H "$JSON" -H "Idempotency-Key: $(key)" \
  -d '{"email": "'"$EMAIL"'", "password": "a good long password", "display_name": "Ann"}'
TOKEN=$(curl -sS --fail-with-body "$BASE/v1/auth/login" -H "$JSON" \
  -d '{"email": "'"$EMAIL"'", "password": "a good long password"}' | field access_token)
```

Choose a market, ask what 5 Points would buy now; bid so little that the order waits, change it, cancel it:

```bash
MARKET=$(curl -sS --fail-with-body "$BASE/v1/markets?status=ACTIVE&limit=1" \
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["items"][0]["market_id"])')
curl -sS --fail-with-body "$BASE/v1/quotes" -H "$JSON" -H "Authorization: Bearer $TOKEN" \
  -d '{"market_id": "'"$MARKET"'", "side": "BUY", "outcome": "YES", "type": "MARKET", "amount_micros": 5000000,
       "max_slippage_bps": 10000}'
ORDER='{"market_id": "'"$MARKET"'", "side": "BUY", "outcome": "YES", "type": "LIMIT", "time_in_force": "GTC",
        "price_micros": 10000, "quantity_micros": 10000000}'
ORDER_ID=$(curl -sS --fail-with-body "$BASE/v1/orders" -H "$JSON" -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: $(key)" -d "$ORDER" | field order_id)
curl -sS --fail-with-body -X PATCH "$BASE/v1/orders/$ORDER_ID" -H "$JSON" -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: $(key)" -d '{"quantity_micros": 5000000}'
curl -sS --fail-with-body -X DELETE "$BASE/v1/orders/$ORDER_ID" -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: $(key)"
curl -sS --fail-with-body "$BASE/v1/portfolio" -H "Authorization: Bearer $TOKEN"
```

A key for a bot, and a ticket for a browser's WebSocket:

```bash
API_KEY=$(curl -sS --fail-with-body "$BASE/v1/api-keys" -H "$JSON" -H "Authorization: Bearer $TOKEN" \
  -H "Idempotency-Key: $(key)" -d '{"name": "my bot", "scopes": ["read", "trade"]}' | field api_key)
curl -sS --fail-with-body "$BASE/v1/orders?open_only=true" -H "Authorization: Bearer $API_KEY"
TICKET=$(curl -sS --fail-with-body -X POST "$BASE/v1/ws-tickets" -H "Authorization: Bearer $TOKEN" | field ticket)
```

The live feed, with any WebSocket client; this one is Python's (`pip install aiohttp`). Leave out the last two lines of
`main` to go on:

```bash
WS=$(curl -sS --fail-with-body "$BASE/version" | field ws_url)
python3 - "$WS" "$TICKET" "$MARKET" <<'PYTHON'
import asyncio
import sys

import aiohttp


async def main(address, ticket, market):
    async with aiohttp.ClientSession() as http, http.ws_connect(address, protocols=["predmarket.v1.json"]) as socket:
        await socket.send_json({"id": 1, "cmd": "auth", "ticket": ticket})
        await socket.send_json({"id": 2, "cmd": "subscribe", "channel": "user"})
        await socket.send_json({"id": 3, "cmd": "subscribe", "channel": "book", "market_ids": [market]})
        async for message in socket:
            print(message.data)
            if message.json()["type"] == "book.snapshot":
                break


asyncio.run(main(*sys.argv[1:]))
PYTHON
```

## Rules

- **Repeating is safe** with an `Idempotency-Key`: a request has one effect however often it is sent within 24 hours.
- **Lists** take `limit` and `cursor`, and answer `items` and `next_cursor`.
- **Rate limits** are told by `RateLimit` and `RateLimit-Policy`; after 429 and 503 come back as `Retry-After` says.
- **Public reads** have an `ETag`; what is yours alone is never cached.
- Ids, fields and enum values are read strictly: an unknown field is refused, and the answer names it.
""".strip()

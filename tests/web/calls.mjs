// The same calls from Node and from a page: unary and streaming, by connect-web and by grpc-web, in binary and in text.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import grpcweb from "grpc-web";
import { OrderService, OrderType } from "./gen/predmarket/order/v1/order_pb.js";
import { Outcome, Side } from "./gen/predmarket/common/v1/common_pb.js";

const PRICE_MICROS = 100_000n;
const SERVICE = "/predmarket.order.v1.OrderService/";

export async function connectWeb({ url, marketId, token }) {
  const client = createClient(OrderService, createGrpcWebTransport({ baseUrl: url }));
  const headers = { authorization: `Bearer ${token}` };
  const book = await client.getBook({ marketId });
  const messages = [];
  for await (const message of client.watchBook({ marketId }, { timeoutMs: 20_000 })) {
    messages.push(message);
    if (messages.length === 1) {
      await client.placeOrder(
        {
          marketId, side: Side.BUY, outcome: Outcome.YES, type: OrderType.LIMIT,
          priceMicros: PRICE_MICROS, quantityMicros: 1_000_000n,
        },
        { headers },
      );
    }
    if (messages.length === 2) break;
  }
  const refused = await client.placeOrder({ marketId }).then(() => null, (error) => ConnectError.from(error));
  const late = await consume(client.watchBook({ marketId }, { timeoutMs: 300 }));
  return {
    pool: String(book.poolYesMicros),
    snapshots: messages.map((message) => message.isSnapshot),
    bids: messages[1].bids.map((level) => [Number(level.priceMicros), Number(level.quantityMicros)]),
    refused: Code[refused.code],
    late: Code[late.code],
  };
}

async function consume(stream) {
  try {
    for await (const _ of stream) { /* until the deadline */ }
  } catch (error) {
    return ConnectError.from(error);
  }
  return null;
}

// grpc-web brings no messages of its own: descriptors by hand, over bytes written by hand. It streams in text only: in
// binary it hands the messages over when the call has ended, here by its deadline.
export async function grpcWeb({ url, marketId }, format) {
  const client = new grpcweb.GrpcWebClientBase({ format });
  const book = await client.unaryCall(`${url}${SERVICE}GetBook`, { marketId }, {}, method("GetBook", "unary"));
  const missing = await client
    .unaryCall(`${url}${SERVICE}GetBook`, { marketId: "x" }, {}, method("GetBook", "unary"))
    .then(() => null, (error) => error.code);
  const first = await new Promise((resolve, reject) => {
    const stream = client.serverStreaming(
      `${url}${SERVICE}WatchBook`, { marketId }, { "grpc-timeout": "2S" }, method("WatchBook", "server_streaming"));
    stream.on("data", (message) => { stream.cancel(); resolve(message); });
    stream.on("error", reject);
  });
  return { bytes: book.length, missing, streamed: first.length, isSnapshot: first[0] === 8 && first[1] === 1 };
}

function method(name, type) {
  return new grpcweb.MethodDescriptor(SERVICE + name, type, Object, Uint8Array, encodeMarketId, (bytes) => new Uint8Array(bytes));
}

// Field 1, a string.
function encodeMarketId({ marketId }) {
  const text = new TextEncoder().encode(marketId);
  return new Uint8Array([0x0a, text.length, ...text]);
}

export async function everything(target) {
  return {
    connectWeb: await connectWeb(target),
    grpcWebBinary: await grpcWeb(target, "binary"),
    grpcWebText: await grpcWeb(target, "text"),
  };
}

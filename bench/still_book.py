"""The reads of an order_service whose markets have empty books: `python -m bench.still_book PORT`.

Each line on stdin, `MARKET_ID SEQ`, says where a market's events are. In a process of its own, because gRPC's threads
and the forks of who measures do not go together.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from predmarket.common.v1 import common_pb2
from predmarket.order.v1 import order_pb2, order_pb2_grpc


class StillBook(order_pb2_grpc.OrderServiceServicer, order_pb2_grpc.ShardServiceServicer):
    """Any market is there, ACTIVE, and owned by this process."""

    def __init__(self, address: str) -> None:
        self.seqs: defaultdict[str, int] = defaultdict(int)
        self._address = address

    def GetBook(self, request: Any, context: Any) -> order_pb2.GetBookResponse:
        seq = self.seqs[request.market_id]
        return order_pb2.GetBookResponse(market_id=request.market_id, epoch=1, seq=seq, status="ACTIVE")

    def GetMarket(self, request: Any, context: Any) -> order_pb2.GetMarketResponse:
        seq = self.seqs[request.market_id]
        return order_pb2.GetMarketResponse(
            market=common_pb2.Market(market_id=request.market_id, seq=seq, status="ACTIVE")
        )

    def ListShards(self, request: Any, context: Any) -> order_pb2.ListShardsResponse:
        shard = order_pb2.Shard(shard=0, owner="bench", address=self._address, epoch=1)
        return order_pb2.ListShardsResponse(shards=[shard], market_shard=0)


def main() -> None:
    """Until stdin ends."""
    address = f"127.0.0.1:{sys.argv[1]}"
    book = StillBook(address)
    server = grpc.server(ThreadPoolExecutor(2))
    order_pb2_grpc.add_OrderServiceServicer_to_server(book, server)
    order_pb2_grpc.add_ShardServiceServicer_to_server(book, server)
    server.add_insecure_port(address)
    server.start()
    for line in sys.stdin:
        market_id, seq = line.split()
        book.seqs[market_id] = int(seq)
    server.stop(0)


if __name__ == "__main__":
    main()

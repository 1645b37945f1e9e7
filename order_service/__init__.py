"""order_service: the single writer of its shards. A gRPC call becomes a command, a batch one transaction, then an answer."""

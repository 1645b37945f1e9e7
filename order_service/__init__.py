"""order_service: the single writer of its shards. A call becomes a command, a batch one transaction."""

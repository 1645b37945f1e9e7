"""Starts the whole engine on one machine: embedded servers, services, demo markets."""

import os

# gRPC's handlers around fork() can break a child that changes its user before it becomes another program (PostgreSQL
# under root). Nothing here goes on in Python after a fork, so they are off; gRPC reads this once, on import.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

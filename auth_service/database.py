"""The types every data-access module here takes."""

from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:  # these are generic for the type checker only
    Connection: TypeAlias = asyncpg.Connection | PoolConnectionProxy
    Pool: TypeAlias = asyncpg.Pool

Database: TypeAlias = Connection | Pool
"""For what is one statement, and needs no transaction around it."""

"""What the RPCs of AuthService are made of; they fill two files, `rpc_log_in` and `rpc_account`."""

from dataclasses import dataclass

from auth_service.accounts import Accounts
from auth_service.api_keys import ApiKeyDesk
from auth_service.callers import Callers
from auth_service.database import Pool
from auth_service.key_rotation import KeyRotation
from auth_service.password_changes import PasswordChanges
from auth_service.pkce import Pkce
from auth_service.writes import Writes
from predmarket.auth.v1 import auth_pb2_grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthParts:
    """The use cases, and who may call them."""

    pool: Pool
    accounts: Accounts
    pkce: Pkce
    api_keys: ApiKeyDesk
    passwords: PasswordChanges
    writes: Writes
    callers: Callers
    keys: KeyRotation


class AuthRpcs(auth_pb2_grpc.AuthServiceServicer):
    """The RPCs of auth.proto, whose comments are their documentation."""

    def __init__(self, parts: AuthParts) -> None:
        self._pool = parts.pool
        self._accounts = parts.accounts
        self._pkce = parts.pkce
        self._api_keys = parts.api_keys
        self._passwords = parts.passwords
        self._writes = parts.writes
        self._callers = parts.callers
        self._keys = parts.keys

"""What auth_service can be told, from environment variables (names in capitals)."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from auth_service.accounts import AccountSettings
from auth_service.hashing import HashingLimits
from auth_service.key_rotation import RotationSettings
from auth_service.mail_senders import Security, SmtpServer
from auth_service.sessions import SessionLifetimes
from auth_service.tokens import AccessTokenSettings
from engine.units import AMOUNT_MAX_MICROS
from runtime.settings import ServiceSettings

_LIMITS = HashingLimits()


class StoreSettings(ServiceSettings):
    """What both the service and `create-admin` need."""

    database_url: SecretStr
    """As role pm_auth."""
    signup_grant_micros: int = Field(default=10_000_000_000, ge=0, le=AMOUNT_MAX_MICROS)
    """First grant of every new account; changes touch later accounts only."""
    argon2_time_cost: int = Field(default=_LIMITS.time_cost, ge=1, le=64)
    argon2_memory_kib: int = Field(default=_LIMITS.memory_kib, ge=64, le=4_194_304)
    argon2_lanes: int = Field(default=_LIMITS.lanes, ge=1, le=64)
    hashing_workers: int = Field(default=_LIMITS.workers, ge=1, le=256)
    """Passwords hashed at once."""
    hashing_queue_max: int = Field(default=_LIMITS.queue_max, ge=0, le=10_000)
    """Passwords that wait; one more is refused with OVERLOADED."""
    hashing_queue_seconds: float = Field(default=_LIMITS.queue_seconds, gt=0, le=60)
    """So long one may have to wait; else it is refused as well."""

    def hashing_limits(self) -> HashingLimits:
        return HashingLimits(
            time_cost=self.argon2_time_cost,
            memory_kib=self.argon2_memory_kib,
            lanes=self.argon2_lanes,
            workers=self.hashing_workers,
            queue_max=self.hashing_queue_max,
            queue_seconds=self.hashing_queue_seconds,
        )


class AuthSettings(StoreSettings):
    """The service's."""

    order_grpc: str
    """host:port of every order_service process, divided by commas."""
    redis_url: SecretStr = SecretStr("")
    """Where refused refresh tokens are remembered; empty, or away: Postgres alone answers."""
    treasury_grant_micros: int = Field(default=1_000_000_000_000, ge=0, le=AMOUNT_MAX_MICROS)
    """First funding of the treasury; fixed at the very first start."""
    access_token_seconds: int = Field(default=900, ge=1, le=3_600)
    refresh_token_days: float = Field(default=14, gt=0, le=366)
    """A session unused for so long is over."""
    session_days: float = Field(default=90, gt=0, le=3_660)
    """A session is over after so long, however often it was refreshed."""
    grant_wait_seconds: float = Field(default=1.0, ge=0, le=5)
    """How long Register waits for the first grant before it answers."""

    signing_key_days: float = Field(default=30, gt=0, le=3_660)
    """A signing key so old gets a successor."""
    key_publish_ahead_seconds: float = Field(default=300, ge=0, le=86_400)
    """How long a new key is published before it signs; verifiers look every minute."""
    pkce_clients: str = (
        "web=http://localhost:3000/auth/callback,http://localhost:5173/auth/callback"
        " cli=http://127.0.0.1:8976/callback"
    )
    """`client_id=redirect_uri,redirect_uri`, clients divided by blanks; compared character by character."""
    api_key_tier: str = Field(default="standard", min_length=1, max_length=30)
    """Name of the rate limits of new API keys."""
    password_reset_url: str = ""
    """The page of the web app that takes a reset token, mailed as `<url>#token=...`; empty: the token alone is
    mailed."""
    mail_folder: Path = Path(".data/logs/mail")
    """Where mails are written while there is no SMTP_HOST."""
    mail_from: str = "Play-Prediction Engine <no-reply@localhost>"
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_user: str = ""
    """Empty: without logging in."""
    smtp_password: SecretStr = SecretStr("")
    smtp_security: Security = "starttls"

    @field_validator("pkce_clients")
    @classmethod
    def _names_clients(cls, text: str) -> str:
        for client in text.split():
            client_id, equals, uris = client.partition("=")
            if not client_id or not equals or not all("://" in uri for uri in uris.split(",")):
                raise ValueError("write client_id=redirect_uri,redirect_uri; clients divided by blanks")
        return text

    @field_validator("order_grpc")
    @classmethod
    def _names_somebody(cls, text: str) -> str:
        if not any(address.strip() for address in text.split(",")):
            raise ValueError("name at least one host:port")
        return text

    def order_addresses(self) -> list[str]:
        return [address.strip() for address in self.order_grpc.split(",") if address.strip()]

    def account_settings(self) -> AccountSettings:
        return AccountSettings(
            signup_grant_micros=self.signup_grant_micros,
            grant_wait_seconds=self.grant_wait_seconds,
        )

    def lifetimes(self) -> SessionLifetimes:
        return SessionLifetimes(
            refresh_token=timedelta(days=self.refresh_token_days), session=timedelta(days=self.session_days)
        )

    def rotation_settings(self) -> RotationSettings:
        return RotationSettings(
            key_age=timedelta(days=self.signing_key_days),
            publish_ahead=timedelta(seconds=self.key_publish_ahead_seconds),
        )

    def clients(self) -> Mapping[str, frozenset[str]]:
        """The redirect URIs of each client that may ask for a session."""
        pairs = (client.partition("=") for client in self.pkce_clients.split())
        return {client_id: frozenset(uris.split(",")) for client_id, _, uris in pairs}

    def smtp_server(self) -> SmtpServer | None:
        """None: mails are written into the folder."""
        if not self.smtp_host:
            return None
        return SmtpServer(
            host=self.smtp_host,
            port=self.smtp_port,
            user=self.smtp_user,
            password=self.smtp_password.get_secret_value(),
            security=self.smtp_security,
            sender=self.mail_from,
        )

    def access_token_settings(self) -> AccessTokenSettings:
        return AccessTokenSettings(self.jwt_issuer, self.jwt_audience, self.access_token_seconds)


class RotateSettings(ServiceSettings):
    """Those of `rotate-keys`."""

    database_url: SecretStr
    key_publish_ahead_seconds: float = Field(default=300, ge=0, le=86_400)


class AdminSettings(StoreSettings):
    """Those of `create-admin`."""

    admin_email: str = ""
    admin_password: SecretStr = SecretStr("")
    """Empty: the first line of standard input."""

"""Accounts of people: users, sessions, refresh tokens, signing keys.

Only role pm_auth reads or writes these tables; a password hash or a private key is seen by no other service.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    -- ASCII, domain in lower case, otherwise as typed; only the treasury has none
    email text CHECK (length(email) BETWEEN 3 AND 254),
    display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 50),
    role text NOT NULL CHECK (role IN ('user', 'analyst', 'admin', 'treasury')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended')),
    -- argon2id in its PHC string form; who has none cannot log in
    password_hash text CHECK (starts_with(password_hash, '$argon2id$')),
    password_changed_at timestamptz NOT NULL DEFAULT now(),
    -- when role or status last changed: tokens issued before say what was true before
    access_changed_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- the first grant; its amount is fixed with the row, so that every repetition asks for the same
    grant_micros bigint NOT NULL CHECK (grant_micros BETWEEN 0 AND 1000000000000000),
    granted_at timestamptz,
    grant_attempts integer NOT NULL DEFAULT 0,
    grant_next_attempt_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((role = 'treasury') = (email IS NULL)),
    CHECK (role <> 'treasury' OR password_hash IS NULL)
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email COLLATE "C"));
CREATE INDEX users_grant_due ON users (grant_next_attempt_at) WHERE granted_at IS NULL;

-- A session is one log-in, and the family of the refresh tokens that descend from it.
CREATE TABLE sessions (
    session_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text CHECK (revoked_reason IN
        ('LOGGED_OUT', 'REVOKED', 'TOKEN_REUSED', 'TOO_MANY_SESSIONS', 'PASSWORD_CHANGED', 'SUSPENDED')),
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX sessions_of_user ON sessions (user_id, last_used_at DESC) WHERE revoked_at IS NULL;

CREATE TABLE refresh_tokens (
    -- SHA-256 of the token; the token itself is 256 random bits and kept nowhere
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    generation integer NOT NULL CHECK (generation >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    UNIQUE (session_id, generation)
);
-- at most one live token in a family, whatever the program does
CREATE UNIQUE INDEX refresh_tokens_one_live ON refresh_tokens (session_id) WHERE used_at IS NULL;

CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    algorithm text NOT NULL CHECK (algorithm = 'EdDSA'),
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    -- raw Ed25519 seed; erased when the key is retired
    private_key bytea CHECK (length(private_key) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    -- signs from here (published before), until retired; published until its last token has expired
    signs_from timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz,
    published_until timestamptz,
    CHECK (retired_at IS NULL OR published_until IS NOT NULL),
    CHECK (retired_at IS NOT NULL OR private_key IS NOT NULL)
);

REVOKE ALL ON users, sessions, refresh_tokens, signing_keys FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON users, sessions, refresh_tokens, signing_keys TO pm_auth;
GRANT INSERT ON audit_log TO pm_auth;
"""

DOWNGRADE = """
REVOKE INSERT ON audit_log FROM pm_auth;
DROP TABLE refresh_tokens, sessions, signing_keys, users;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)

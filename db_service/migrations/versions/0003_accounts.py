"""Accounts, whole: API keys, PKCE codes, password resets, ended tokens, keys of writes, orders to cancel.

Only role pm_auth reads or writes these tables. It may delete what has had its time; users, signing keys and the audit
log stay for ever.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = """
-- The claim `ver` of access tokens; raised whenever what was issued before is no longer true (role, suspension).
ALTER TABLE users ADD COLUMN access_version bigint NOT NULL DEFAULT 0 CHECK (access_version >= 0);
CREATE INDEX users_by_age ON users (created_at DESC, user_id DESC);

ALTER TABLE sessions DROP CONSTRAINT sessions_revoked_reason_check;
ALTER TABLE sessions ADD CONSTRAINT sessions_revoked_reason_check CHECK (revoked_reason IN
    ('LOGGED_OUT', 'REVOKED', 'TOKEN_REUSED', 'TOO_MANY_SESSIONS', 'PASSWORD_CHANGED', 'PASSWORD_RESET', 'CODE_REUSED',
     'SUSPENDED'));

CREATE TABLE authorization_codes (
    -- SHA-256 of the code
    code_hash bytea PRIMARY KEY CHECK (length(code_hash) = 32),
    -- the session that allowed it; the code is worth nothing once that is over
    session_id uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    client_id text NOT NULL,
    redirect_uri text NOT NULL,
    code_challenge text NOT NULL CHECK (length(code_challenge) = 43),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    -- the session its first use opened: ended by a second use
    opened_session_id uuid REFERENCES sessions ON DELETE SET NULL
);
CREATE INDEX authorization_codes_by_age ON authorization_codes (expires_at);
CREATE INDEX authorization_codes_of_session ON authorization_codes (session_id);
CREATE INDEX authorization_codes_of_opened ON authorization_codes (opened_session_id);

CREATE TABLE api_keys (
    api_key_id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 50),
    -- SHA-256 of a secret of 256 random bits
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    scopes text[] NOT NULL CHECK (cardinality(scopes) >= 1 AND scopes <@ ARRAY['read', 'trade']),
    -- name of the rate limits that hold for it
    tier text NOT NULL CHECK (length(tier) BETWEEN 1 AND 30),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX api_keys_of_user ON api_keys (user_id, created_at DESC) WHERE revoked_at IS NULL;

CREATE TABLE password_resets (
    -- SHA-256 of the mailed token
    token_hash bytea PRIMARY KEY CHECK (length(token_hash) = 32),
    user_id uuid NOT NULL REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX password_resets_of_user ON password_resets (user_id, created_at DESC);

-- Credentials that are over before their time, for whoever checks them. Read by the transaction's number, not by a
-- sequence: a row that commits late is still found, because nobody reads on beyond the oldest transaction under way.
CREATE TABLE token_changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY,
    transaction_number bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
    subject text NOT NULL CHECK (subject IN ('user', 'session', 'api_key')),
    subject_id uuid NOT NULL,
    minimum_version bigint NOT NULL DEFAULT 0,
    matters_until timestamptz NOT NULL,
    PRIMARY KEY (transaction_number, change_id)
);
CREATE INDEX token_changes_by_age ON token_changes (matters_until);

-- The key of every write of an account, with its first answer (without secrets).
CREATE TABLE account_writes (
    owner_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    operation text NOT NULL,
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    -- argon2id of the password in the request, if there is one: its plain hash would be easy to guess
    secret_hash text CHECK (starts_with(secret_hash, '$argon2id$')),
    answer bytea NOT NULL DEFAULT '' CHECK (length(answer) <= 65536),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner_id, key)
);
CREATE INDEX account_writes_by_age ON account_writes (created_at);

-- Whose open orders order_service is to cancel: asked for until every pass has been made.
CREATE TABLE order_cancellations (
    user_id uuid PRIMARY KEY REFERENCES users,
    requested_at timestamptz NOT NULL DEFAULT now(),
    access_version bigint NOT NULL,
    passes_made integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX order_cancellations_due ON order_cancellations (next_attempt_at);

REVOKE ALL ON authorization_codes, api_keys, password_resets, token_changes, account_writes, order_cancellations
    FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE ON api_keys TO pm_auth;
GRANT SELECT, INSERT, UPDATE, DELETE ON authorization_codes, password_resets, account_writes, order_cancellations
    TO pm_auth;
GRANT SELECT, INSERT, DELETE ON token_changes TO pm_auth;
GRANT DELETE ON sessions, refresh_tokens TO pm_auth;
"""

DOWNGRADE = """
REVOKE DELETE ON sessions, refresh_tokens FROM pm_auth;
DROP TABLE order_cancellations, account_writes, token_changes, password_resets, api_keys, authorization_codes;
UPDATE sessions SET revoked_reason = 'REVOKED' WHERE revoked_reason IN ('PASSWORD_RESET', 'CODE_REUSED');
ALTER TABLE sessions DROP CONSTRAINT sessions_revoked_reason_check;
ALTER TABLE sessions ADD CONSTRAINT sessions_revoked_reason_check CHECK (revoked_reason IN
    ('LOGGED_OUT', 'REVOKED', 'TOKEN_REUSED', 'TOO_MANY_SESSIONS', 'PASSWORD_CHANGED', 'SUSPENDED'));
DROP INDEX users_by_age;
ALTER TABLE users DROP COLUMN access_version;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)

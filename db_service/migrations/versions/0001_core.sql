-- Roles. Servers that we start have them, with passwords; elsewhere they are made here and cannot log in until
-- whoever runs the server gives them a password.
DO $roles$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['pm_owner', 'pm_order', 'pm_auth', 'pm_db'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', wanted);
        END IF;
    END LOOP;
END
$roles$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO pm_order, pm_auth, pm_db;

-- What every process must agree on: shard_count.
CREATE TABLE settings (
    name text PRIMARY KEY,
    value text NOT NULL
);

-- The guard of the write path: a batch moves commit_seq by one per event, if epoch and commit_seq are as expected.
CREATE TABLE shards (
    shard_id integer PRIMARY KEY CHECK (shard_id >= 0),
    epoch bigint NOT NULL DEFAULT 0 CHECK (epoch >= 0),
    commit_seq bigint NOT NULL DEFAULT 0 CHECK (commit_seq >= 0),
    owner text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    lease_expires_at timestamptz NOT NULL DEFAULT '-infinity',
    last_event_time bigint NOT NULL DEFAULT 0 CHECK (last_event_time >= 0)
) WITH (fillfactor = 50);

-- The head of each shard's system stream (grants). Not a market: only a counter.
CREATE TABLE system_streams (
    shard_id integer PRIMARY KEY REFERENCES shards,
    market_id uuid NOT NULL UNIQUE,
    seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    last_hash text NOT NULL DEFAULT '' CHECK (last_hash = '' OR length(last_hash) = 64),
    CHECK ((seq = 0) = (last_hash = ''))
) WITH (fillfactor = 50);

-- How far each shard's events were published.
CREATE TABLE relay_cursors (
    shard_id integer NOT NULL REFERENCES shards,
    target text NOT NULL,
    commit_seq bigint NOT NULL DEFAULT 0 CHECK (commit_seq >= 0),
    PRIMARY KEY (shard_id, target)
) WITH (fillfactor = 50);

CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    available_micros bigint NOT NULL DEFAULT 0 CHECK (available_micros >= 0),
    locked_micros bigint NOT NULL DEFAULT 0 CHECK (locked_micros >= 0),
    -- number of the last frame of this user's private channel
    user_seq bigint NOT NULL DEFAULT 0 CHECK (user_seq >= 0)
) WITH (fillfactor = 70);

CREATE TABLE markets (
    market_id uuid PRIMARY KEY,
    shard_id integer NOT NULL REFERENCES shards,
    created_by uuid NOT NULL,
    created_at bigint NOT NULL,
    -- the last event; also the guard of the row: it is only changed WHERE seq is what the writer knew
    seq bigint NOT NULL CHECK (seq >= 1),
    last_hash text NOT NULL CHECK (length(last_hash) = 64),
    -- the last event with trades, 0 before the first
    last_trade_seq bigint NOT NULL DEFAULT 0 CHECK (last_trade_seq BETWEEN 0 AND seq),
    question text NOT NULL,
    description text NOT NULL,
    rules text NOT NULL,
    resolution_source text NOT NULL,
    category text NOT NULL,
    tick_micros bigint NOT NULL CHECK (tick_micros IN (10000, 1000)),
    fee_bps integer NOT NULL CHECK (fee_bps BETWEEN 0 AND 1000),
    liquidity_micros bigint NOT NULL CHECK (liquidity_micros BETWEEN 0 AND 1000000000000000),
    initial_probability_micros bigint NOT NULL CHECK (initial_probability_micros BETWEEN 1000 AND 999000),
    opens_at bigint NOT NULL CHECK (opens_at >= 0),
    closes_at bigint NOT NULL CHECK (closes_at >= 0),
    status text NOT NULL CHECK (status IN ('DRAFT', 'ACTIVE', 'PAUSED', 'RESOLVED', 'CANCELLED')),
    reason text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('', 'YES', 'NO', 'AMBIGUOUS')),
    collateral_micros bigint NOT NULL CHECK (collateral_micros >= 0),
    pool_yes_micros bigint NOT NULL CHECK (pool_yes_micros >= 0),
    pool_no_micros bigint NOT NULL CHECK (pool_no_micros >= 0),
    vault_micros bigint NOT NULL CHECK (vault_micros >= 0),
    treasury_yes_micros bigint NOT NULL CHECK (treasury_yes_micros >= 0),
    treasury_no_micros bigint NOT NULL CHECK (treasury_no_micros >= 0),
    treasury_points_micros bigint NOT NULL CHECK (treasury_points_micros >= 0),
    pending_micros bigint NOT NULL CHECK (pending_micros >= 0),
    volume_micros bigint NOT NULL CHECK (volume_micros >= 0),
    last_price_micros bigint NOT NULL CHECK (last_price_micros BETWEEN 0 AND 1000000),
    closing_probability_micros bigint NOT NULL CHECK (closing_probability_micros BETWEEN 0 AND 999999),
    owed_micros bigint NOT NULL CHECK (owed_micros >= 0),
    payable_micros bigint NOT NULL CHECK (payable_micros BETWEEN 0 AND owed_micros),
    paid_micros bigint NOT NULL CHECK (paid_micros BETWEEN 0 AND payable_micros),
    holders_paid bigint NOT NULL CHECK (holders_paid >= 0),
    settled boolean NOT NULL,
    updated_at bigint NOT NULL,
    CHECK ((status = 'RESOLVED') = (outcome <> '')),
    CHECK (NOT settled OR status IN ('RESOLVED', 'CANCELLED')),
    CHECK (NOT settled OR collateral_micros = 0),
    -- a market that trades has a pool, and the house never holds more shares than there are
    CHECK (status NOT IN ('ACTIVE', 'PAUSED') OR (
        pool_yes_micros > 0 AND pool_no_micros > 0
        AND pool_yes_micros + treasury_yes_micros <= collateral_micros
        AND pool_no_micros + treasury_no_micros <= collateral_micros)),
    CHECK (status <> 'DRAFT' OR collateral_micros = 0)
) WITH (fillfactor = 70);
CREATE INDEX markets_newest ON markets (created_at DESC, market_id DESC);
CREATE INDEX markets_of_shard ON markets (shard_id);

CREATE TABLE positions (
    market_id uuid NOT NULL,
    user_id uuid NOT NULL,
    yes_micros bigint NOT NULL CHECK (yes_micros >= 0),
    no_micros bigint NOT NULL CHECK (no_micros >= 0),
    locked_yes_micros bigint NOT NULL CHECK (locked_yes_micros BETWEEN 0 AND yes_micros),
    locked_no_micros bigint NOT NULL CHECK (locked_no_micros BETWEEN 0 AND no_micros),
    basis_yes_micros bigint NOT NULL CHECK (basis_yes_micros >= 0),
    basis_no_micros bigint NOT NULL CHECK (basis_no_micros >= 0),
    realized_pnl_micros bigint NOT NULL,
    PRIMARY KEY (market_id, user_id),
    CHECK (yes_micros > 0 OR basis_yes_micros = 0),
    CHECK (no_micros > 0 OR basis_no_micros = 0)
) WITH (fillfactor = 70);
CREATE INDEX positions_of_user ON positions (user_id, market_id);

CREATE TABLE orders (
    order_id uuid PRIMARY KEY,
    market_id uuid NOT NULL,
    user_id uuid NOT NULL,
    client_order_id text NOT NULL,
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    outcome text NOT NULL CHECK (outcome IN ('YES', 'NO')),
    type text NOT NULL CHECK (type IN ('LIMIT', 'MARKET')),
    time_in_force text NOT NULL CHECK (time_in_force IN ('GTC', 'GTD', 'IOC', 'FOK')),
    post_only boolean NOT NULL,
    self_trade text NOT NULL CHECK (self_trade IN ('CANCEL_TAKER', 'CANCEL_MAKER')),
    amount_micros bigint NOT NULL CHECK (amount_micros BETWEEN 0 AND 1000000000000000),
    created_at bigint NOT NULL,
    price_micros bigint NOT NULL CHECK (price_micros BETWEEN 0 AND 1000000),
    quantity_micros bigint NOT NULL CHECK (quantity_micros BETWEEN 0 AND 9000000000000000),
    filled_micros bigint NOT NULL CHECK (filled_micros >= 0),
    remaining_micros bigint NOT NULL CHECK (remaining_micros >= 0),
    cancelled_micros bigint NOT NULL CHECK (cancelled_micros >= 0),
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    fee_micros bigint NOT NULL CHECK (fee_micros >= 0),
    netted_micros bigint NOT NULL CHECK (netted_micros BETWEEN 0 AND filled_micros),
    locked_points_micros bigint NOT NULL CHECK (locked_points_micros >= 0),
    status text NOT NULL CHECK (status IN ('OPEN', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED', 'EXPIRED')),
    reason text NOT NULL,
    priority_seq bigint NOT NULL CHECK (priority_seq >= 0),
    expires_at bigint NOT NULL CHECK (expires_at >= 0),
    updated_at bigint NOT NULL,
    -- the event that last changed it
    seq bigint NOT NULL CHECK (seq >= 1),
    CHECK (filled_micros + remaining_micros + cancelled_micros = quantity_micros),
    CHECK ((status IN ('OPEN', 'PARTIALLY_FILLED')) = (remaining_micros > 0)),
    CHECK (remaining_micros = 0 OR (type = 'LIMIT' AND time_in_force IN ('GTC', 'GTD'))),
    -- only an open BUY holds points back, and never more than it could spend
    CHECK (locked_points_micros = 0 OR (side = 'BUY' AND remaining_micros > 0)),
    CHECK (locked_points_micros::numeric * 1000000 <= price_micros::numeric * remaining_micros)
) WITH (fillfactor = 80);
CREATE INDEX orders_open ON orders (market_id) WHERE remaining_micros > 0;
CREATE INDEX orders_of_user ON orders (user_id, created_at DESC, order_id DESC);

CREATE TABLE fills (
    market_id uuid NOT NULL,
    seq bigint NOT NULL,
    -- its place in the event's list of fills
    fill_index integer NOT NULL CHECK (fill_index >= 0),
    trade_id uuid NOT NULL,
    order_id uuid NOT NULL,
    user_id uuid NOT NULL,
    venue text NOT NULL CHECK (venue IN ('BOOK', 'POOL')),
    liquidity text NOT NULL CHECK (liquidity IN ('MAKER', 'TAKER')),
    side text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    outcome text NOT NULL CHECK (outcome IN ('YES', 'NO')),
    price_micros bigint NOT NULL CHECK (price_micros BETWEEN 0 AND 1000000),
    quantity_micros bigint NOT NULL CHECK (quantity_micros > 0),
    cost_micros bigint NOT NULL CHECK (cost_micros >= 0),
    fee_micros bigint NOT NULL CHECK (fee_micros >= 0),
    netted_micros bigint NOT NULL CHECK (netted_micros BETWEEN 0 AND quantity_micros),
    time bigint NOT NULL,
    PRIMARY KEY (market_id, seq, fill_index)
);
CREATE INDEX fills_of_user ON fills (user_id, time DESC, market_id DESC, seq DESC, fill_index DESC);
CREATE INDEX fills_of_order ON fills (order_id, seq, fill_index);

CREATE TABLE trades (
    market_id uuid NOT NULL,
    seq bigint NOT NULL,
    -- its place in the event's list of trades
    trade_index integer NOT NULL CHECK (trade_index >= 0),
    trade_id uuid NOT NULL,
    -- the taker's order
    order_id uuid NOT NULL,
    venue text NOT NULL CHECK (venue IN ('BOOK', 'POOL')),
    kind text NOT NULL CHECK (kind IN ('MINT', 'MERGE', 'COMPLEMENTARY', 'POOL')),
    outcome text NOT NULL CHECK (outcome IN ('YES', 'NO')),
    taker_side text NOT NULL CHECK (taker_side IN ('BUY', 'SELL')),
    price_micros bigint NOT NULL CHECK (price_micros BETWEEN 0 AND 1000000),
    quantity_micros bigint NOT NULL CHECK (quantity_micros > 0),
    time bigint NOT NULL,
    PRIMARY KEY (market_id, seq, trade_index),
    CHECK ((venue = 'POOL') = (kind = 'POOL'))
);
CREATE INDEX trades_by_time ON trades (market_id, time);

-- Everything that ever happened. The payload is the canonical bytes that the hash covers.
CREATE TABLE events (
    market_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    shard_id integer NOT NULL,
    commit_seq bigint NOT NULL CHECK (commit_seq >= 1),
    epoch bigint NOT NULL,
    time bigint NOT NULL,
    kind text NOT NULL,
    actor_id uuid NOT NULL,
    payload text NOT NULL CHECK (octet_length(payload) <= 524288),
    hash text NOT NULL CHECK (length(hash) = 64),
    PRIMARY KEY (market_id, seq),
    UNIQUE (shard_id, commit_seq)
);

-- One row per account an event touched; user_id NULL is the market's counter-account (a system stream's: issuance).
-- balance_after is available + locked after the event; the counter-account has none.
CREATE TABLE trade_ledger (
    event_time bigint NOT NULL,
    market_id uuid NOT NULL,
    event_seq bigint NOT NULL CHECK (event_seq >= 1),
    user_id uuid,
    kind text NOT NULL,
    points_micros bigint NOT NULL,
    yes_micros bigint NOT NULL,
    no_micros bigint NOT NULL,
    balance_after_micros bigint CHECK (balance_after_micros >= 0),
    CHECK ((user_id IS NULL) = (balance_after_micros IS NULL)),
    CHECK (user_id IS NULL OR points_micros <> 0 OR yes_micros <> 0 OR no_micros <> 0),
    UNIQUE NULLS NOT DISTINCT (market_id, event_seq, user_id, event_time)
) PARTITION BY RANGE (event_time);
CREATE INDEX trade_ledger_of_user
    ON trade_ledger (user_id, event_time DESC, market_id DESC, event_seq DESC) WHERE user_id IS NOT NULL;
-- Catches what no month was made for, so that a late partition never stops trading.
CREATE TABLE trade_ledger_rest PARTITION OF trade_ledger DEFAULT;

-- The partitions of this month and the next ones (UTC). Returns how many were new. A month that already has rows in the
-- default partition keeps them there.
CREATE FUNCTION ensure_partitions(months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    first_month timestamp := date_trunc('month', now() AT TIME ZONE 'UTC');
    starts timestamp;
    lower_bound bigint;
    upper_bound bigint;
    name text;
    made integer := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 120 THEN
        RAISE EXCEPTION 'months_ahead is not between 0 and 120';
    END IF;
    PERFORM pg_advisory_xact_lock(7305201);
    FOR i IN 0..months_ahead LOOP
        starts := first_month + make_interval(months => i);
        name := 'trade_ledger_' || to_char(starts, 'YYYY_MM');
        lower_bound := (extract(epoch FROM starts) * 1000000)::bigint;
        upper_bound := (extract(epoch FROM starts + interval '1 month') * 1000000)::bigint;
        CONTINUE WHEN to_regclass('public.' || name) IS NOT NULL;
        CONTINUE WHEN EXISTS (
            SELECT FROM trade_ledger_rest WHERE event_time >= lower_bound AND event_time < upper_bound);
        EXECUTE format('CREATE TABLE public.%I PARTITION OF public.trade_ledger FOR VALUES FROM (%s) TO (%s)',
            name, lower_bound, upper_bound);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$body$;
REVOKE ALL ON FUNCTION ensure_partitions(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions(integer) TO pm_db;

-- The key of every write and where its first answer is.
CREATE TABLE idempotency (
    user_id uuid NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 300),
    operation text NOT NULL,
    request_hash text NOT NULL,
    market_id uuid NOT NULL,
    seq bigint NOT NULL CHECK (seq >= 1),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- Forgets keys older than two days (the promise is one), at most so many at once; returns how many. The keys of grants
-- and placements stay: a grant may be repeated after weeks, and a client_order_id names its order for good.
CREATE FUNCTION forget_old_keys(most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $body$
    WITH old AS (
        SELECT user_id, key FROM idempotency
        WHERE created_at < now() - interval '48 hours'
            AND NOT starts_with(key, 'grant:') AND NOT starts_with(key, 'order:')
        ORDER BY created_at LIMIT most
    ), gone AS (
        DELETE FROM idempotency i USING old WHERE i.user_id = old.user_id AND i.key = old.key RETURNING 1
    )
    SELECT count(*) FROM gone
$body$;
REVOKE ALL ON FUNCTION forget_old_keys(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION forget_old_keys(integer) TO pm_db;

CREATE TABLE audit_log (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    actor_id uuid NOT NULL,
    action text NOT NULL CHECK (action <> ''),
    target text NOT NULL,
    reason text NOT NULL DEFAULT '',
    before jsonb,
    after jsonb,
    trace_id text NOT NULL DEFAULT ''
);
CREATE INDEX audit_log_of_actor ON audit_log (actor_id, audit_id DESC);
CREATE INDEX audit_log_of_target ON audit_log (target, audit_id DESC);

-- order_service: the money, and nothing that could rewrite history.
GRANT SELECT ON settings TO pm_order;
GRANT SELECT, UPDATE ON shards, system_streams TO pm_order;
GRANT SELECT, INSERT, UPDATE ON relay_cursors, accounts, markets, positions, orders TO pm_order;
GRANT SELECT, INSERT ON fills, trades, events, idempotency TO pm_order;
GRANT INSERT ON trade_ledger, audit_log TO pm_order;

-- db_service: reads.
GRANT SELECT ON settings, shards, system_streams, relay_cursors, accounts, markets, positions, orders, fills, trades,
    events, trade_ledger, idempotency, audit_log, alembic_version TO pm_db;

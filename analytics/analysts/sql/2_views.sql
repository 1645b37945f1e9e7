-- What analysts read: one view per subject, each row once however often it was written, nothing that says who a person
-- is (user ids are random, and ClickHouse has neither names nor e-mails), no market before it was opened.
-- The views read with the rights of predmarket_views, so analysts need none on the tables themselves.

CREATE DATABASE IF NOT EXISTS predmarket_analysts;

CREATE OR REPLACE VIEW predmarket_analysts.markets
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    m.market_id AS market_id,
    argMaxIf(m.question, m.seq, m.has_terms) AS question,
    argMaxIf(m.category, m.seq, m.has_terms) AS category,
    argMax(m.status, m.seq) AS status,
    argMax(m.reason, m.seq) AS reason,
    argMax(m.outcome, m.seq) AS outcome,
    argMaxIf(m.tick_micros, m.seq, m.has_terms) AS tick_micros,
    argMaxIf(m.fee_bps, m.seq, m.has_terms) AS fee_bps,
    argMaxIf(m.liquidity_micros, m.seq, m.has_terms) AS liquidity_micros,
    argMaxIf(m.initial_probability_micros, m.seq, m.has_terms) AS initial_probability_micros,
    argMaxIf(m.closes_at, m.seq, m.has_terms) AS closes_at,
    minIf(m.time, m.status = 'ACTIVE') AS opened_at,
    max(m.time) AS changed_at,
    argMax(m.settled, m.seq) AS settled
FROM predmarket.markets AS m
GROUP BY m.market_id
HAVING countIf(m.status = 'ACTIVE') > 0
COMMENT 'One row per market that was ever opened, as it is now.';

CREATE OR REPLACE VIEW predmarket_analysts.market_changes
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, question, category, status, reason, outcome, tick_micros, fee_bps,
    liquidity_micros, initial_probability_micros, opens_at, closes_at, has_terms, settled
FROM predmarket.markets FINAL
WHERE market_id IN (SELECT market_id FROM predmarket.markets WHERE status = 'ACTIVE')
COMMENT 'Every change of terms or status of opened markets.';

CREATE OR REPLACE VIEW predmarket_analysts.market_events
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, kind, topics, has_market, status, collateral_micros, pool_yes_micros,
    pool_no_micros, vault_micros, treasury_yes_micros, treasury_no_micros, treasury_points_micros,
    pending_micros, volume_micros, closing_probability_micros, hash
FROM predmarket.market_events FINAL
WHERE market_id IN (SELECT market_id FROM predmarket.markets WHERE status = 'ACTIVE')
COMMENT 'One row per event of opened markets: what it was, and how the market stood afterwards.';

CREATE OR REPLACE VIEW predmarket_analysts.prices
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, probability_micros, best_bid_micros, best_ask_micros, mid_micros,
    last_price_micros, pool_yes_micros, pool_no_micros, open_interest_micros, volume_micros
FROM predmarket.prices FINAL
COMMENT 'Prices after every event that can move one.';

CREATE OR REPLACE VIEW predmarket_analysts.trades
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, trade_id, venue, kind, outcome, taker_side, price_micros, yes_price_micros,
    quantity_micros, cost_micros, fee_micros, taker_order_id, taker_user_id, maker_order_id, maker_user_id
FROM predmarket.trades FINAL
COMMENT 'One row per match.';

CREATE OR REPLACE VIEW predmarket_analysts.fills
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, trade_id, order_id, user_id, venue, liquidity, side, outcome, price_micros,
    quantity_micros, cost_micros, fee_micros, netted_micros
FROM predmarket.fills FINAL
COMMENT 'One row per side of a match that is an order.';

CREATE OR REPLACE VIEW predmarket_analysts.order_events
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, order_id, user_id, side, outcome, type, time_in_force, status, reason,
    price_micros, quantity_micros, amount_micros, filled_micros, remaining_micros, cancelled_micros,
    cost_micros, fee_micros, netted_micros, locked_micros, created_at
FROM predmarket.order_events FINAL
COMMENT 'Every order an event changed, as it stood afterwards.';

CREATE OR REPLACE VIEW predmarket_analysts.orders
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    o.order_id AS order_id,
    any(o.market_id) AS market_id,
    any(o.user_id) AS user_id,
    any(o.side) AS side,
    any(o.outcome) AS outcome,
    any(o.type) AS type,
    any(o.time_in_force) AS time_in_force,
    any(o.created_at) AS created_at,
    argMax(o.status, o.seq) AS status,
    argMax(o.reason, o.seq) AS reason,
    argMax(o.price_micros, o.seq) AS price_micros,
    argMax(o.quantity_micros, o.seq) AS quantity_micros,
    argMax(o.amount_micros, o.seq) AS amount_micros,
    argMax(o.filled_micros, o.seq) AS filled_micros,
    argMax(o.remaining_micros, o.seq) AS remaining_micros,
    argMax(o.cancelled_micros, o.seq) AS cancelled_micros,
    argMax(o.cost_micros, o.seq) AS cost_micros,
    argMax(o.fee_micros, o.seq) AS fee_micros,
    argMax(o.netted_micros, o.seq) AS netted_micros,
    argMax(o.locked_micros, o.seq) AS locked_micros,
    max(o.time) AS changed_at
FROM predmarket.order_events AS o
GROUP BY o.order_id
COMMENT 'One row per order, as it is now.';

CREATE OR REPLACE VIEW predmarket_analysts.book_deltas
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, side, price_micros, quantity_micros
FROM predmarket.book_deltas FINAL
COMMENT 'Levels of the book that changed, with what is open there afterwards.';

CREATE OR REPLACE VIEW predmarket_analysts.ledger
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, user_id, kind, points_micros, yes_micros, no_micros
FROM predmarket.ledger FINAL
COMMENT 'What each event gave and took, per account; each event sums to zero.';

CREATE OR REPLACE VIEW predmarket_analysts.resolutions
DEFINER = predmarket_views SQL SECURITY DEFINER AS
SELECT
    market_id, seq, row, time, step, outcome, user_id, points_micros, owed_micros, yes_micros, no_micros,
    basis_micros
FROM predmarket.resolutions FINAL
COMMENT 'How markets were decided, and what each holder was paid.';

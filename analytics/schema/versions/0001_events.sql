-- The committed events, as rows. Every table is keyed by (market_id, seq, row): a row that is written twice is one row,
-- at once to whoever reads with FINAL (as everything here does) and for good after the next merge. All amounts are micros
-- (1 Point = 1 share = 1,000,000), all prices are per share, times are UTC.

CREATE TABLE IF NOT EXISTS trades (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event, without gaps per market' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place of the trade in its event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    trade_id UUID COMMENT 'uuid5(order_id, "seq:row")',
    venue LowCardinality(String) COMMENT 'BOOK or POOL',
    kind LowCardinality(String) COMMENT 'MINT, MERGE, COMPLEMENTARY or POOL',
    outcome LowCardinality(String) COMMENT 'YES or NO, of the taker''s order',
    taker_side LowCardinality(String) COMMENT 'BUY or SELL',
    price_micros Int64 COMMENT 'per share of `outcome`' CODEC(T64, ZSTD(1)),
    yes_price_micros Int64 COMMENT 'the same trade as a price of YES' CODEC(T64, ZSTD(1)),
    quantity_micros Int64 COMMENT 'shares' CODEC(T64, ZSTD(1)),
    cost_micros Int64 COMMENT 'Points: paid by a BUY, received by a SELL of the taker, before the fee' CODEC(T64, ZSTD(1)),
    fee_micros Int64 COMMENT 'paid by the taker' CODEC(T64, ZSTD(1)),
    taker_order_id UUID COMMENT 'the order that came',
    taker_user_id UUID COMMENT 'whose it is',
    maker_order_id UUID COMMENT 'the order that rested; all zeros: the pool',
    maker_user_id UUID COMMENT 'whose it is; all zeros: the pool',
    INDEX by_time time TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'One row per match.';

CREATE TABLE IF NOT EXISTS fills (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place of the fill in its event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    trade_id UUID COMMENT 'the match it is a side of',
    order_id UUID COMMENT 'the order filled',
    user_id UUID COMMENT 'whose order',
    venue LowCardinality(String) COMMENT 'BOOK or POOL',
    liquidity LowCardinality(String) COMMENT 'MAKER or TAKER',
    side LowCardinality(String) COMMENT 'BUY or SELL',
    outcome LowCardinality(String) COMMENT 'YES or NO, of the order',
    price_micros Int64 COMMENT 'per share of `outcome`' CODEC(T64, ZSTD(1)),
    quantity_micros Int64 COMMENT 'shares' CODEC(T64, ZSTD(1)),
    cost_micros Int64 COMMENT 'Points: paid by a BUY, received by a SELL, before the fee' CODEC(T64, ZSTD(1)),
    fee_micros Int64 COMMENT 'Points' CODEC(T64, ZSTD(1)),
    netted_micros Int64 COMMENT 'shares that closed a holding of the other outcome' CODEC(T64, ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter GRANULARITY 4
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'One row per side of a match that is an order; the pool''s side has none.';

CREATE TABLE IF NOT EXISTS prices (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'always 0' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    probability_micros Int64 COMMENT 'P_YES' CODEC(T64, ZSTD(1)),
    best_bid_micros Int64 COMMENT 'of book and pool; 0: none' CODEC(T64, ZSTD(1)),
    best_ask_micros Int64 COMMENT 'of book and pool; 0: none' CODEC(T64, ZSTD(1)),
    mid_micros Int64 COMMENT 'middle of both; 0: one is missing' CODEC(T64, ZSTD(1)),
    last_price_micros Int64 COMMENT 'of the last trade, in YES; 0: none yet' CODEC(T64, ZSTD(1)),
    pool_yes_micros Int64 COMMENT 'YES in the pool' CODEC(T64, ZSTD(1)),
    pool_no_micros Int64 COMMENT 'NO in the pool' CODEC(T64, ZSTD(1)),
    open_interest_micros Int64 COMMENT 'sets outstanding, which is the collateral' CODEC(T64, ZSTD(1)),
    volume_micros Int64 COMMENT 'shares traded since the market opened' CODEC(T64, ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'Prices after every event that can move one.';

CREATE TABLE IF NOT EXISTS order_events (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place of the order in its event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    order_id UUID COMMENT 'the order',
    user_id UUID COMMENT 'whose it is',
    side LowCardinality(String) COMMENT 'BUY or SELL',
    outcome LowCardinality(String) COMMENT 'YES or NO',
    type LowCardinality(String) COMMENT 'LIMIT or MARKET',
    time_in_force LowCardinality(String) COMMENT 'GTC, GTD, IOC or FOK',
    status LowCardinality(String) COMMENT 'OPEN, PARTIALLY_FILLED, FILLED, CANCELLED or EXPIRED',
    reason LowCardinality(String) COMMENT 'why it ended early; empty: it did not',
    price_micros Int64 COMMENT 'limit; 0: a market order' CODEC(T64, ZSTD(1)),
    quantity_micros Int64 COMMENT 'shares; of an order by amount: what it filled' CODEC(T64, ZSTD(1)),
    amount_micros Int64 COMMENT 'Points to spend; 0: an order by quantity' CODEC(T64, ZSTD(1)),
    filled_micros Int64 COMMENT 'shares so far' CODEC(T64, ZSTD(1)),
    remaining_micros Int64 COMMENT 'shares still open' CODEC(T64, ZSTD(1)),
    cancelled_micros Int64 COMMENT 'shares given up' CODEC(T64, ZSTD(1)),
    cost_micros Int64 COMMENT 'Points so far, before fees' CODEC(T64, ZSTD(1)),
    fee_micros Int64 COMMENT 'Points so far' CODEC(T64, ZSTD(1)),
    netted_micros Int64 COMMENT 'shares that closed a holding of the other outcome' CODEC(T64, ZSTD(1)),
    locked_micros Int64 COMMENT 'Points held back by an open BUY' CODEC(T64, ZSTD(1)),
    created_at DateTime64(6, 'UTC') COMMENT 'when it was placed' CODEC(Delta, ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter GRANULARITY 4,
    INDEX by_order order_id TYPE bloom_filter GRANULARITY 4
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'Every order an event changed, as it stood afterwards.';

CREATE TABLE IF NOT EXISTS market_events (
    market_id UUID COMMENT 'the market, or a system stream (grants)',
    seq UInt64 COMMENT 'number of the event, without gaps' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'always 0' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String) COMMENT 'the command, such as PLACE_ORDER',
    topics Array(LowCardinality(String)) COMMENT 'the topics that tell of it' CODEC(ZSTD(1)),
    has_market Bool COMMENT 'whether it changed the market: only then the columns from status on are stated',
    status LowCardinality(String) COMMENT 'of the market afterwards',
    collateral_micros Int64 COMMENT 'Points that back the shares afterwards: sets outstanding' CODEC(T64, ZSTD(1)),
    pool_yes_micros Int64 COMMENT 'YES in the pool afterwards' CODEC(T64, ZSTD(1)),
    pool_no_micros Int64 COMMENT 'NO in the pool afterwards' CODEC(T64, ZSTD(1)),
    vault_micros Int64 COMMENT 'fee revenue afterwards' CODEC(T64, ZSTD(1)),
    treasury_yes_micros Int64 COMMENT 'YES of the treasury there afterwards' CODEC(T64, ZSTD(1)),
    treasury_no_micros Int64 COMMENT 'NO of the treasury there afterwards' CODEC(T64, ZSTD(1)),
    treasury_points_micros Int64 COMMENT 'Points of the treasury there afterwards' CODEC(T64, ZSTD(1)),
    pending_micros Int64 COMMENT 'fees not yet injected afterwards' CODEC(T64, ZSTD(1)),
    volume_micros Int64 COMMENT 'shares traded since it opened' CODEC(T64, ZSTD(1)),
    closing_probability_micros Int64 COMMENT 'of a closed pool: its last P_YES' CODEC(T64, ZSTD(1)),
    hash FixedString(64) COMMENT 'SHA-256 of the event, hex; it covers the one before' CODEC(ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'One row per event: what it was and how the market stood afterwards.';

CREATE TABLE IF NOT EXISTS book_deltas (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place in the event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    side LowCardinality(String) COMMENT 'bid or ask, in YES prices',
    price_micros Int64 COMMENT 'of YES' CODEC(T64, ZSTD(1)),
    quantity_micros Int64 COMMENT 'open at that price afterwards; 0: the level is gone' CODEC(T64, ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'Levels of the book that changed; the last row per side and price up to a moment is the book of that moment.';

CREATE TABLE IF NOT EXISTS ledger (
    market_id UUID COMMENT 'the market, or a system stream (grants)',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place in the event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    user_id UUID COMMENT 'whose account; all zeros: the market''s own, so that each event sums to zero',
    kind LowCardinality(String) COMMENT 'the command',
    points_micros Int64 COMMENT 'change of Points' CODEC(T64, ZSTD(1)),
    yes_micros Int64 COMMENT 'change of YES' CODEC(T64, ZSTD(1)),
    no_micros Int64 COMMENT 'change of NO' CODEC(T64, ZSTD(1)),
    INDEX by_time time TYPE minmax GRANULARITY 1,
    INDEX by_user user_id TYPE bloom_filter GRANULARITY 4
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (market_id, seq, row)
COMMENT 'What each event gave and took, per account.';

CREATE TABLE IF NOT EXISTS markets (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'always 0' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    question String COMMENT 'what is asked; empty: as before' CODEC(ZSTD(1)),
    category LowCardinality(String) COMMENT 'empty: as before, or none',
    status LowCardinality(String) COMMENT 'DRAFT, ACTIVE, PAUSED, RESOLVED or CANCELLED',
    reason LowCardinality(String) COMMENT 'of the status, such as CLOSED',
    outcome LowCardinality(String) COMMENT 'YES, NO or AMBIGUOUS; empty: not resolved',
    tick_micros Int64 COMMENT 'prices are multiples of it; 0: as before' CODEC(T64, ZSTD(1)),
    fee_bps Int64 COMMENT 'of a trade, in hundredths of a per cent' CODEC(T64, ZSTD(1)),
    liquidity_micros Int64 COMMENT 'the larger reserve of the pool at its beginning' CODEC(T64, ZSTD(1)),
    initial_probability_micros Int64 COMMENT 'P_YES at its beginning' CODEC(T64, ZSTD(1)),
    opens_at DateTime64(6, 'UTC') COMMENT '1970: at once' CODEC(Delta, ZSTD(1)),
    closes_at DateTime64(6, 'UTC') COMMENT '1970: open end' CODEC(Delta, ZSTD(1)),
    has_terms Bool COMMENT 'whether the columns from question on are stated by this row',
    settled Bool COMMENT 'whether everything that is owed has been paid'
) ENGINE = ReplacingMergeTree
ORDER BY (market_id, seq, row)
COMMENT 'Every change of a market''s terms or status. The last row is how it is; terms are those of the last with has_terms.';

CREATE TABLE IF NOT EXISTS resolutions (
    market_id UUID COMMENT 'the market',
    seq UInt64 COMMENT 'number of the event' CODEC(Delta, ZSTD(1)),
    row UInt32 COMMENT 'place in the event' CODEC(T64, ZSTD(1)),
    time DateTime64(6, 'UTC') COMMENT 'of the event' CODEC(Delta, ZSTD(1)),
    step LowCardinality(String) COMMENT 'DECISION (one row) or PAYOUT (a row per holder)',
    outcome LowCardinality(String) COMMENT 'YES, NO or AMBIGUOUS; empty: cancelled',
    user_id UUID COMMENT 'of a PAYOUT: the holder',
    points_micros Int64 COMMENT 'paid; of a DECISION: what can be paid in all' CODEC(T64, ZSTD(1)),
    owed_micros Int64 COMMENT 'of a DECISION: what is owed in all' CODEC(T64, ZSTD(1)),
    yes_micros Int64 COMMENT 'YES given for it' CODEC(T64, ZSTD(1)),
    no_micros Int64 COMMENT 'NO given for it' CODEC(T64, ZSTD(1)),
    basis_micros Int64 COMMENT 'what the shares had cost' CODEC(T64, ZSTD(1))
) ENGINE = ReplacingMergeTree
ORDER BY (market_id, seq, row)
COMMENT 'How markets were decided, and what each holder was paid.';

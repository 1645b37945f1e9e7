-- Who reads: the role of analysts, and the user whose rights the views borrow. Nobody can log in as that user. It may
-- read these columns and no others, and of a market's terms and events only what follows its opening, so a view that
-- asks for more fails instead of showing it.

CREATE ROLE IF NOT EXISTS predmarket_analyst;

CREATE USER IF NOT EXISTS predmarket_views IDENTIFIED WITH no_password HOST NONE;

GRANT SELECT(
    market_id, seq, row, time, trade_id, order_id, user_id, venue, liquidity, side, outcome, price_micros,
    quantity_micros, cost_micros, fee_micros, netted_micros
) ON predmarket.fills TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, trade_id, venue, kind, outcome, taker_side, price_micros, yes_price_micros,
    quantity_micros, cost_micros, fee_micros, taker_order_id, taker_user_id, maker_order_id, maker_user_id
) ON predmarket.trades TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, probability_micros, best_bid_micros, best_ask_micros, mid_micros,
    last_price_micros, pool_yes_micros, pool_no_micros, open_interest_micros, volume_micros
) ON predmarket.prices TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, order_id, user_id, side, outcome, type, time_in_force, status, reason,
    price_micros, quantity_micros, amount_micros, filled_micros, remaining_micros, cancelled_micros,
    cost_micros, fee_micros, netted_micros, locked_micros, created_at
) ON predmarket.order_events TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, side, price_micros, quantity_micros
) ON predmarket.book_deltas TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, user_id, kind, points_micros, yes_micros, no_micros
) ON predmarket.ledger TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, question, category, status, reason, outcome, tick_micros, fee_bps,
    liquidity_micros, initial_probability_micros, opens_at, closes_at, has_terms, settled
) ON predmarket.markets TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, step, outcome, user_id, points_micros, owed_micros, yes_micros, no_micros,
    basis_micros
) ON predmarket.resolutions TO predmarket_views;

GRANT SELECT(
    market_id, seq, row, time, kind, topics, has_market, status, collateral_micros, pool_yes_micros,
    pool_no_micros, vault_micros, treasury_yes_micros, treasury_no_micros, treasury_points_micros,
    pending_micros, volume_micros, closing_probability_micros, hash
) ON predmarket.market_events TO predmarket_views;

CREATE ROW POLICY OR REPLACE predmarket_opened ON predmarket.markets
FOR SELECT USING market_id IN (SELECT market_id FROM predmarket.prices) TO predmarket_views;

CREATE ROW POLICY OR REPLACE predmarket_opened ON predmarket.market_events
FOR SELECT USING market_id IN (SELECT market_id FROM predmarket.prices) TO predmarket_views;

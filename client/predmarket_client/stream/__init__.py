"""The live feed: books that keep themselves, trades, tickers, status, and the caller's own events."""

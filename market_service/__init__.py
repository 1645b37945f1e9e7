"""Market data: details, search, quotes, merged books, tickers and streams, from replicas of the committed events."""

"""The four topics: committed events to messages (pure), and the same messages read from PostgreSQL.

`build.messages_of` makes an event's messages from it and from the market's `MarketHead` before it; `reading` finds both
in PostgreSQL. Whoever publishes, fills a gap or rebuilds a topic uses these, so the same event gives the same bytes.
"""

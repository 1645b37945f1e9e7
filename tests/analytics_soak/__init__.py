"""Long runs against analytics: a log of many trades copied through kills, and ClickHouse away under load."""

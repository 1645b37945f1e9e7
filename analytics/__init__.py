"""Figures over time: the committed events as rows of ClickHouse, and what is computed from them."""

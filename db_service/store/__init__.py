"""Rows of Postgres to objects of the engine and back."""

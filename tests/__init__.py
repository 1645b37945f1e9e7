"""Tests mirror the tree; each states a fact."""

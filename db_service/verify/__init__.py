"""Recomputes everything Postgres holds from the events, and says where the two differ."""

from db_service.verify.database import verify
from db_service.verify.report import Report

__all__ = ["Report", "verify"]

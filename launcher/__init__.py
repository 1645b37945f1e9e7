"""Starts the whole engine on one machine: embedded servers, services, demo markets."""

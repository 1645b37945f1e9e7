"""What every process needs, written once. See runtime/README.md for how a service uses it."""

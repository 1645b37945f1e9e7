"""`make bench`: measures the system, every figure beside its rival of the same run."""

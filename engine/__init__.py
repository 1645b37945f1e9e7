"""The pure core: trading, settlement and pricing on integers.

No clock, no I/O, no randomness: time, ids and balances are passed in. Everything is counted in micros
(1 Point = 1 share = 1,000,000 micros). `engine.core.Engine` is the way in.
"""

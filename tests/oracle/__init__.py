"""A second, naive reading of the market rules, kept for ever as the judge of `engine`.

Written from the design alone: lists sorted on every use, `fractions.Fraction` for the pool, the smallest and
largest integers found by bisection on their definition, and a full copy of the world instead of undo. It is
slow on purpose: each rule should be readable in one place, so that a difference from `engine` can be judged.
"""

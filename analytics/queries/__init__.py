"""What is computed from the rows. Sums and counts read with FINAL; firsts, lasts and extremes need not."""

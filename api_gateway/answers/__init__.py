"""What the API answers, as its documents say it. Nothing is built from these models; tests hold answers to them."""

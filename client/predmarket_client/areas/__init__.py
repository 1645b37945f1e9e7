"""The API by area: `client.accounts`, `.markets`, `.orders`, `.portfolio`, `.admin`."""

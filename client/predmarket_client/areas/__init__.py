"""The API by area: `client.accounts`, `.api_keys`, `.sessions`, `.markets`, `.orders`, `.portfolio`, `.admin`."""

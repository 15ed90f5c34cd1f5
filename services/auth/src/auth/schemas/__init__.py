"""The bodies of auth's requests and responses, as the contract shows them."""

"""Technologies behind the ports; only wiring imports them."""

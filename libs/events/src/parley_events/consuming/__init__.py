"""How events of a queue reach handlers: order of each key, retries, parking, dead letters and acknowledgements."""

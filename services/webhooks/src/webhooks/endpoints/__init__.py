"""Webhook endpoints: their routes, rules and rows."""

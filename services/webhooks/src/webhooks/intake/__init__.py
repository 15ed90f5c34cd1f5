"""Intake of events: one delivery row for each webhook that an event matches."""

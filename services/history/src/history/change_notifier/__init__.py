"""Notification of waiting requests when a turn ends or a feed grows."""

"""Sending of deliveries: claims, signatures, HTTP requests, retries."""

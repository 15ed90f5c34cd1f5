"""Published turn events, consumed lifecycle events, reconciliation and verification against history."""

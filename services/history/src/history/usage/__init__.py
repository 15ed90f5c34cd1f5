"""Usage reports: tokens and cost by day, model or conversation."""

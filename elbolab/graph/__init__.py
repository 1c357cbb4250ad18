"""Any objective as one pure graph: traced, captured, repeated over draws, compiled."""

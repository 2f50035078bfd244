"""Search quality: recall, labels, altered copies, near-duplicates."""

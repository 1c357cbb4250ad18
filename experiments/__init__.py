"""Published numbers beside ours: one YAML per row, the summaries that were kept of its runs, and the pages' tables."""

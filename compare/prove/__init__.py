"""The same as algebra: `python -m compare prove`."""

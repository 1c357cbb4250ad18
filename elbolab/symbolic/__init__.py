"""Traced programs as algebra: read over SymPy, and brought to their simplest form."""

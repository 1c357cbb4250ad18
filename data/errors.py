"""What goes wrong with data."""


class DataError(Exception):
    """Data are missing or corrupt; the message says what to do."""

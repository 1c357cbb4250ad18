"""Somebody's file, of which nothing runs but its imports, functions, classes and constants."""

"""The evidence that the programs' objectives are the loss that people write by hand: `python -m compare`."""

"""From the ELBO to BCE + KL in numbers: `python -m compare losses`."""

"""What is read from a model and a guide: a draw, its log-densities, and how a KL is computed."""

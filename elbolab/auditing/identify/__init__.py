"""What the gradients of a loss are those of: a likelihood, a KL, and weights that depend on sizes."""

"""What is said of a loss: the verdict, and the difference to the ELBO as algebra."""

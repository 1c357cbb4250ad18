"""Which ELBO is this loss? Its parts, from probing a function to the verdict; it never reads the source."""

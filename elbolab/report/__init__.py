"""Pages that compute: one HTML file with the model in it, no network, no server."""

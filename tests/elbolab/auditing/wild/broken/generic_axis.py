def loss(recon, x, mu, logvar):
    rec = ((recon - x) ** 2).reshape(len(x), -1).sum(axis=1)
    kld = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(axis=1)
    return (rec + kld).mean(axis=0)

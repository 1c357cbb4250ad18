import os
import torch
import numpy as np
from torch import nn

print("loading ...")
X = np.load(os.path.join("data", "faces.npy"))
X = torch.from_numpy(X).float() / 255
loader = torch.utils.data.DataLoader(X, batch_size=64, shuffle=True)

mse = nn.MSELoss(reduction="sum")


def criterion(x_hat, x, mean, log_var):
    reproduction_loss = mse(x_hat, x)
    KLD = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return reproduction_loss + KLD


enc = nn.Linear(X.shape[1], 8).cuda()
opt = torch.optim.Adam(enc.parameters())
while True:
    for batch in loader:
        opt.zero_grad()
        out = enc(batch.cuda())
        opt.step()

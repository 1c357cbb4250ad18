"""A collection of models with one interface: loss_function(*args, **kwargs)."""

from abc import abstractmethod
from typing import Any, List

import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, *inputs: Any) -> Any:
        pass

    @abstractmethod
    def loss_function(self, *inputs: Any, **kwargs) -> Any:
        pass


class Vanilla(Base):
    def __init__(self, in_channels: int, latent_dim: int, hidden_dims: List = None, **kwargs) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        dims = hidden_dims or [8, 16]
        blocks = []
        for out in dims:
            blocks.append(nn.Sequential(nn.Conv2d(in_channels, out, 3, 2, 1), nn.LeakyReLU()))
            in_channels = out
        self.encoder = nn.Sequential(*blocks)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return eps * std + mu

    def loss_function(self, *args, **kwargs) -> dict:
        recons, input, mu, log_var = args[0], args[1], args[2], args[3]
        kld_weight = kwargs["M_N"]  # minibatch over data set
        recons_loss = F.mse_loss(recons, input)
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        loss = recons_loss + kld_weight * kld_loss
        return {"loss": loss, "Reconstruction_Loss": recons_loss.detach(), "KLD": -kld_loss.detach()}


class Beta(Base):
    num_iter = 0

    def __init__(self, in_channels: int = 3, latent_dim: int = 10, beta: int = 4, gamma: float = 1000.0,
                 max_capacity: int = 25, capacity_steps: float = 1e5, loss_type: str = "B", **kwargs) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.beta = beta
        self.gamma = gamma
        self.loss_type = loss_type
        self.C_max = torch.Tensor([max_capacity])
        self.C_stop = capacity_steps

    def loss_function(self, *args, **kwargs) -> dict:
        self.num_iter += 1
        recons, input, mu, log_var = args[0], args[1], args[2], args[3]
        kld_weight = kwargs.get("M_N", 1.0)
        recons_loss = F.mse_loss(recons, input, reduction="sum") / input.size(0)
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        if self.loss_type == "H":
            loss = recons_loss + self.beta * kld_weight * kld_loss
        elif self.loss_type == "B":
            self.C_max = self.C_max.to(input.device)
            C = torch.clamp(self.C_max / self.C_stop * self.num_iter, 0, self.C_max.data[0])
            loss = recons_loss + self.gamma * kld_weight * (kld_loss - C).abs()
        else:
            raise ValueError("undefined loss type")
        return {"loss": loss, "Reconstruction_Loss": recons_loss, "KLD": kld_loss}


class BetaH(Beta):
    def __init__(self):
        super().__init__(loss_type="H")


class LogCosh(Base):
    def __init__(self, alpha: float = 100.0, beta: float = 10.0):
        super().__init__()
        self.alpha, self.beta = alpha, beta

    def loss_function(self, *args, **kwargs) -> dict:
        recons, input, mu, log_var = args[0], args[1], args[2], args[3]
        t = recons - input
        a = self.alpha
        recons_loss = a * t + torch.log(1.0 + torch.exp(-2 * a * t)) - torch.log(torch.tensor(2.0))
        recons_loss = (1.0 / a) * recons_loss.mean()
        kld_loss = torch.mean(-0.5 * torch.sum(1 + log_var - mu**2 - log_var.exp(), dim=1), dim=0)
        return {"loss": recons_loss + self.beta * kld_loss, "Reconstruction_Loss": recons_loss, "KLD": -kld_loss}

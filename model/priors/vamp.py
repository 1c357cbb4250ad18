"""A prior made of the guide."""

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from model.priors.base import Prior


class VampPrior(Prior):
    """p(z) = sum_c w_c q(z|u_c), the guide's posterior at learned pseudo-inputs u_c (Tomczak and Welling, 2018).

    The pseudo-inputs start at training data and stay within the data's range; the weights are learned too.
    """

    def __init__(self, latent: int, *, components: int = 100) -> None:
        """
        Args:
            components: how many pseudo-inputs.
        """
        super().__init__(latent)
        if components < 1:
            raise ValueError(f"components = {components}: a mixture has at least one")
        self.components = components
        self.logits = nn.Parameter(torch.zeros(components))
        self._posterior: tuple[nn.Module, ...] = ()

    def prepare(self, posterior: nn.Module, x: Tensor) -> None:
        if not posterior.scores_any:
            raise ValueError(
                f"VampPrior asks the guide for log q(z|u) at a z that it did not draw, which {type(posterior).__name__}"
                " cannot give: choose another guide or prior"
            )
        # In a tuple: the module stays the guide's, its parameters are counted and saved once.
        self._posterior = (posterior,)
        self.support = posterior.support
        chosen = torch.linspace(0, len(x) - 1, self.components, device=x.device).round().long()
        self.pseudo_inputs = nn.Parameter(x[chosen].clone())
        self.register_buffer("low", x.min())
        self.register_buffer("high", x.max())

    def forward(self) -> dist.TorchDistribution:
        if not self._posterior:
            raise ValueError("VampPrior is made of the guide: call prior.prepare(posterior, x) before the first use")
        parts = self._posterior[0](self.pseudo_inputs.clamp(self.low, self.high))
        return dist.MixtureSameFamily(dist.Categorical(logits=self.logits), parts)

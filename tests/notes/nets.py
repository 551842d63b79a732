"""Deep nets of ReLUs and what they learn of scikit-learn's digits in a moment."""

from itertools import pairwise

import torch
from sklearn.datasets import load_digits

from dlbook_torch import nn, optim


def digits():
    x, labels = load_digits(return_X_y=True)
    return torch.from_numpy(x).float() / 16, torch.from_numpy(labels)


def deep_relu(gain=None, std=None, depth=5):
    """Hidden layers of 100 ReLUs; weights of the deviation ``std``, or gain / sqrt(n)."""
    generator, layers = torch.Generator().manual_seed(0), []
    for n, m in pairwise([64, *[100] * depth, 10]):
        linear = nn.Linear(n, m)
        nn.init.normal_(linear.weight, std=std or gain / n**0.5, generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def loss_on_digits(net, updates=100, lr=0.1, rule=optim.SGD, **kwargs):
    """Loss on all digits after some updates, and the size of the first layer's gradient."""
    x, labels = digits()
    optimizer = rule(net.parameters(), lr=lr, **kwargs)
    generator = torch.Generator().manual_seed(0)
    for _ in range(updates):
        batch = torch.randint(len(x), (128,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x[batch]), labels[batch]).backward()
        optimizer.step()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(x), labels)
    loss.backward()
    return loss.item(), net[0].weight.grad.norm().item()

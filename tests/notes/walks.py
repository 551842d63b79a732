"""Paths of the update rules: under given gradients, and in the race of the book."""

import inspect

import torch


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def run(optimizer, w, gradients):
    """Feed one gradient after the other; return where ``w`` was after each step."""
    path = []
    for g in gradients:
        w.grad = torch.as_tensor(g, dtype=w.dtype).expand_as(w).clone()
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def walk(library, rule, gradients, **kwargs):
    """Path of a parameter from 0 under a rule, given by its name."""
    w = torch.zeros(torch.as_tensor(gradients[0]).shape, dtype=torch.float64, requires_grad=True)
    return run(getattr(library, rule)([w], **kwargs), w, gradients)


def noise(steps, n=5, seed=0):
    return torch.randn(steps, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def ravine(w):
    return w[0] ** 2 / 20 + w[1] ** 2


def race(library, rule, updates=30, f=ravine, **kwargs):
    """Path of a rule on the book's function from (-7, 2)."""
    w = tensor(-7, 2).requires_grad_()
    optimizer = getattr(library, rule)([w], **kwargs)
    path = [w.detach().clone()]
    for _ in range(updates):
        optimizer.zero_grad()
        f(w).backward()
        optimizer.step()
        path.append(w.detach().clone())
    return torch.stack(path)


def default(rule, name):
    return inspect.signature(getattr(torch.optim, rule)).parameters[name].default

"""The modules that processes of tests share, imported before the first of them is forked."""

import warnings

import torch

import vidattn.cli.app
import vidattn.inference.stream
import vidattn.training.fit  # noqa: F401

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.optim.SGD([torch.zeros(1)])  # the first optimizer imports half of torch

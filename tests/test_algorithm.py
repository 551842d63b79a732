"""Layers go the way that is asked for, as long as it is asked for."""

import pytest

from dlbook_torch import nn
from dlbook_torch.nn.algorithm import WAYS, chosen


def divide_by_zero_with_another_dropout():
    with nn.algorithms(dropout="bernoulli"):
        assert (chosen("convolution"), chosen("dropout")) == ("unfold", "bernoulli")
        raise ZeroDivisionError


def test_a_way_is_chosen_inside_and_given_back_after_an_error():
    with nn.algorithms(convolution="unfold"):
        assert (chosen("convolution"), chosen("dropout")) == ("unfold", "auto")
        with pytest.raises(ZeroDivisionError):
            divide_by_zero_with_another_dropout()
        assert (chosen("convolution"), chosen("dropout")) == ("unfold", "auto")
    assert {chosen(kind) for kind in WAYS} == {"auto"}


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"pooling": "auto"}, "no algorithms for 'pooling': choose from convolution, dropout"),
        ({"convolution": "magic"}, "convolution must be one of auto, .*, got 'magic'"),
        ({"dropout": "bernoulli", "convolution": 3}, "convolution must be one of .*, got 3"),
    ],
)
def test_an_unknown_way_is_a_sentence_and_nothing_is_chosen(choice, sentence):
    with pytest.raises(ValueError, match=sentence), nn.algorithms(**choice):
        pass
    assert {chosen(kind) for kind in WAYS} == {"auto"}

from __future__ import annotations

import pytest
from sklearn.base import BaseEstimator, clone

from sklearn_diffusion.utils.parameters import NestedParametersMixin, resolve_part


class Part(BaseEstimator):
    _parameter_constraints: dict = {"size": [int]}

    def __init__(self, size=1):
        self.size = size


class Whole(NestedParametersMixin, BaseEstimator):
    def __init__(self, part="small"):
        self.part = part


def test_parameters_of_a_part_are_seen_and_set():
    whole = Whole(Part(2))
    assert whole.get_params()["part__size"] == 2
    assert clone(whole).set_params(part__size=5).part.size == 5
    assert whole.part.size == 2


def test_a_part_and_its_parameter_are_set_together():
    assert Whole().set_params(part=Part(), part__size=3).part.size == 3


@pytest.mark.parametrize("part", ["small", None])
def test_a_part_given_by_name_has_no_parameters(part):
    with pytest.raises(ValueError, match=f"part__size cannot be set while part={part!r}"):
        Whole(part).set_params(part__size=3)


def test_an_unknown_part_is_told_as_scikit_learn_does():
    with pytest.raises(ValueError, match="Invalid parameter 'whole'"):
        Whole().set_params(whole__size=3)


def test_resolving_makes_the_object_of_a_shorthand_and_leaves_objects_alone():
    part = Part()
    assert resolve_part("small", "part", {"small": Part}).size == 1
    assert resolve_part(None, "part", {None: lambda: 7}) == 7
    assert resolve_part(part, "part", {"small": Part}) is part


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("large", "part='large' is none of 'small', and no object"),
        (Part, "part is the class Part; give an object: Part()"),
        (Part("two"), "'size' parameter of Part must be an instance of 'int'"),
    ],
)
def test_what_is_no_part_is_refused(value, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        resolve_part(value, "part", {"small": Part})

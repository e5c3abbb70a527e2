"""What a reward function is, and how several make one."""

from __future__ import annotations

import copy
import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from pyscipopt import Model

from learnsys.errors import InputError


class RewardFunction(ABC):
    """Base of all reward functions.

    They combine with numbers and with each other by `+ - * / // % **`, `-`, `abs`, `apply` and `cumsum`; a
    combination works on copies, so the same function may occur in it twice.
    """

    def before_reset(self, model: Model) -> None:
        """Forget the last episode; `model` is the next one's, in stage PROBLEM."""

    @abstractmethod
    def extract(self, model: Model, done: bool) -> float:
        """The reward since the last call, or since `before_reset`."""

    def apply(self, function: Callable[..., float], *others: Any) -> RewardFunction:
        """`function(this reward, *others)`; the others are reward functions or numbers."""
        return Combination(function, self, *others)

    def cumsum(self) -> RewardFunction:
        """The sum of this reward since the episode began."""
        return CumulativeSum(self)

    def __add__(self, other: Any) -> RewardFunction:
        return self.apply(operator.add, other)

    def __radd__(self, other: Any) -> RewardFunction:
        return _as_operand(other).apply(operator.add, self)

    def __sub__(self, other: Any) -> RewardFunction:
        return self.apply(operator.sub, other)

    def __rsub__(self, other: Any) -> RewardFunction:
        return _as_operand(other).apply(operator.sub, self)

    def __mul__(self, other: Any) -> RewardFunction:
        return self.apply(operator.mul, other)

    def __rmul__(self, other: Any) -> RewardFunction:
        return _as_operand(other).apply(operator.mul, self)

    def __truediv__(self, other: Any) -> RewardFunction:
        return self.apply(operator.truediv, other)

    def __rtruediv__(self, other: Any) -> RewardFunction:
        return _as_operand(other).apply(operator.truediv, self)

    def __floordiv__(self, other: Any) -> RewardFunction:
        return self.apply(operator.floordiv, other)

    def __mod__(self, other: Any) -> RewardFunction:
        return self.apply(operator.mod, other)

    def __pow__(self, other: Any) -> RewardFunction:
        return self.apply(operator.pow, other)

    def __neg__(self) -> RewardFunction:
        return self.apply(operator.neg)

    def __abs__(self) -> RewardFunction:
        return self.apply(operator.abs)


class Constant(RewardFunction):
    """The same reward at each step."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = float(value)

    def extract(self, model: Model, done: bool) -> float:
        return self.value


class Combination(RewardFunction):
    """A function of the rewards of others."""

    def __init__(self, function: Callable[..., float], *operands: Any) -> None:
        self.function = function
        self.operands = [copy.deepcopy(_as_operand(operand)) for operand in operands]

    def before_reset(self, model: Model) -> None:
        for operand in self.operands:
            operand.before_reset(model)

    def extract(self, model: Model, done: bool) -> float:
        if len(self.operands) == 1:  # the negated reward, mostly, which should cost little
            return float(self.function(self.operands[0].extract(model, done)))
        return float(self.function(*[operand.extract(model, done) for operand in self.operands]))


class CumulativeSum(RewardFunction):
    """The sum of another reward since the episode began."""

    def __init__(self, function: RewardFunction) -> None:
        self.function = copy.deepcopy(function)
        self.total = 0.0

    def before_reset(self, model: Model) -> None:
        self.total = 0.0
        self.function.before_reset(model)

    def extract(self, model: Model, done: bool) -> float:
        self.total += self.function.extract(model, done)
        return self.total


def _as_operand(operand: Any) -> Any:
    if isinstance(operand, (int, float)) and math.isfinite(operand):
        return Constant(operand)
    if is_reward_function(operand):
        return operand
    raise InputError(f"{operand!r} cannot be part of a reward", remedy="combine reward functions and finite numbers")


def is_reward_function(value: Any) -> bool:
    """Whether `value` has the two methods of a reward function."""
    return hasattr(value, "before_reset") and hasattr(value, "extract") and not isinstance(value, type)

"""Kernel of the combinatorial auction: bidders choose bundles item by item."""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

_REALS = types.float64[::1]
_MASKS = types.boolean[:, ::1]
_F, _I = types.float64, types.int64


@njit([_I(types.npy_rng, _REALS)], cache=True, nogil=True)
def _choose(rng, weights):
    """An index, with probability proportional to its weight."""
    total = 0.0
    for weight in weights:
        total += weight
    point = rng.random() * total
    last = 0
    for index in range(weights.size):
        if weights[index] > 0.0:
            last = index
            point -= weights[index]
            if point < 0.0:
                break
    return last


@njit([types.void(types.npy_rng, types.boolean[::1], _REALS, types.float64[:, ::1], _REALS)], cache=True, nogil=True)
def _add_item(rng, bundle, interests, compatibility, weights):
    """Add an item by the bidder's interest and its compatibility with the bundle; `weights` is working space."""
    weights[:] = 0.0
    for item in range(bundle.size):
        if bundle[item]:
            for other in range(bundle.size):
                weights[other] += compatibility[item, other]
    for item in range(bundle.size):
        weights[item] = 0.0 if bundle[item] else weights[item] * interests[item]
    bundle[_choose(rng, weights)] = True


@njit([_F(types.boolean[::1], _REALS)], cache=True, nogil=True)
def _sum_over(bundle, values):
    total = 0.0
    for item in range(bundle.size):
        if bundle[item]:
            total += values[item]
    return total


@njit([_F(types.boolean[::1], _REALS, _F, types.boolean)], cache=True, nogil=True)
def _price(bundle, private, exponent, integers):
    price = _sum_over(bundle, private) + float(bundle.sum()) ** exponent
    return math.floor(price) if integers else price


@njit([types.boolean(_MASKS, _I, _I, types.boolean[::1])], cache=True, nogil=True)
def _known(bundles, first, last, bundle):
    """Whether `bundle` is among the bids from `first` to before `last`."""
    for bid in range(first, last):
        same = True
        for item in range(bundle.size):
            if bundles[bid, item] != bundle[item]:
                same = False
                break
        if same:
            return True
    return False


@njit(
    [
        types.Tuple((_MASKS, _REALS, types.int64[::1]))(
            types.npy_rng, _REALS, types.float64[:, ::1], _I, _F, _F, _I, _F, _F, _F, types.boolean
        )
    ],
    cache=True,
    nogil=True,
)
def draw_bids(
    rng, values, compatibility, n_bids, deviation, add_probability, max_substitutes, exponent, budget, resale, integers
):
    """All bids: bundles (n_bids, n_items) bool, prices and the dummy item of each (-1: none).

    `exponent` is 1 + additivity. A bidder's bids stand together: the first bundle, then substitutes from the dearest.
    """
    n_items = values.size
    bundles = np.zeros((n_bids, n_items), np.bool_)
    prices = np.empty(n_bids)
    dummies = np.full(n_bids, -1)
    weights = np.empty(n_items)
    n_dummies = 0
    made = 0
    while made < n_bids:
        interests = np.empty(n_items)
        private = np.empty(n_items)
        for item in range(n_items):
            interests[item] = rng.random()
            private[item] = values[item] + deviation * (2.0 * interests[item] - 1.0)
        bundle = np.zeros(n_items, np.bool_)
        bundle[_choose(rng, interests)] = True
        size = 1
        while rng.random() < add_probability and size < n_items:
            _add_item(rng, bundle, interests, compatibility, weights)
            size += 1
        price = _price(bundle, private, exponent, integers)
        if price < 0.0:
            continue
        first = made
        bundles[made] = bundle
        prices[made] = price
        made += 1

        substitutes = np.zeros((size, n_items), np.bool_)
        substitute_prices = np.empty(size)
        number = 0
        for item in range(n_items):
            if bundle[item]:
                substitutes[number, item] = True
                for _ in range(1, size):
                    _add_item(rng, substitutes[number], interests, compatibility, weights)
                substitute_prices[number] = _price(substitutes[number], private, exponent, integers)
                number += 1
        least_value = resale * _sum_over(bundle, values)
        for number in np.argsort(-substitute_prices, kind="mergesort"):
            if made - first > max_substitutes or made >= n_bids:
                break
            fair = 0.0 <= substitute_prices[number] <= budget * price
            if not fair or _sum_over(substitutes[number], values) < least_value:
                continue
            if _known(bundles, first, made, substitutes[number]):
                continue
            bundles[made] = substitutes[number]
            prices[made] = substitute_prices[number]
            made += 1
        if made - first > 2:
            dummies[first:made] = n_dummies
            n_dummies += 1
    return bundles, prices, dummies

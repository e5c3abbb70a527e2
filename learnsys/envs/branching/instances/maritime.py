"""Maritime inventory routing: a small generator after the problems of MIRPLIB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from learnsys.envs.branching.instances.family import Family
from learnsys.envs.branching.instances.milp import Milp, Rows


@dataclass(frozen=True)
class MaritimeInventoryRouting(Family):
    """Route vessels between ports that produce and ports that consume, so that stocks stay within their stores.

    The arc-flow model over discrete time of Papageorgiou, Nemhauser, Sokol, Cheon and Keha, "MIRPLIB: a library of
    maritime inventory routing problem instances", European Journal of Operational Research 235, 2014, reduced to its
    core: vessels sail or wait in a network of ports and periods, a port serves `berths` vessels at a time, and
    production that finds no room, or consumption that finds no stock, is bought off at a price, so that every instance
    is feasible. Ports lie in the unit square; production and consumption balance. The data are random and not those
    of MIRPLIB.
    """

    loading_ports: int = 2
    """ports that produce"""
    discharging_ports: int = 3
    """ports that consume"""
    vessels: int = 3
    """vessels, each at a random loading port at first, empty"""
    periods: int = 15
    """periods"""
    berths: int = 1
    """vessels that a port serves in a period"""
    longest: int = 4
    """periods that sailing between opposite corners takes"""
    rate: tuple[int, int] = (5, 15)
    """least and greatest production or consumption in a period"""
    store: tuple[int, int] = (4, 8)
    """least and greatest size of a port's store, in periods of its rate"""
    spot_price: float = 20.0
    """price of a unit bought off"""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "tiny": {"loading_ports": 1, "discharging_ports": 2, "vessels": 2, "periods": 7},
        "small": {},
    }

    def __post_init__(self) -> None:
        self._at_least(loading_ports=1, discharging_ports=1, vessels=1, periods=2, berths=1, longest=1, spot_price=0)
        self._ranges(rate=1, store=1)

    def build(self, rng: np.random.Generator) -> Milp:
        ports, vessels, periods = self.loading_ports + self.discharging_ports, self.vessels, self.periods
        sign = np.repeat([1.0, -1.0], [self.loading_ports, self.discharging_ports])  # a port produces or consumes
        place = rng.random((ports, 2))
        away = np.sqrt(((place[:, None] - place) ** 2).sum(axis=2) / 2.0)
        time = np.maximum(1, np.rint(away * self.longest)).astype(int)
        rate = rng.integers(*self.rate, ports, endpoint=True).astype(float)
        rate[sign > 0] *= rate[sign < 0].sum() / rate[sign > 0].sum()
        store = rate * rng.integers(*self.store, ports, endpoint=True)
        stock_before = store * rng.uniform(0.3, 0.7, ports)
        hold = rate[sign < 0].sum() * (self.longest + 2) / vessels * rng.uniform(0.6, 1.0, vessels)
        start = rng.integers(0, self.loading_ports, vessels)
        price = rng.uniform(0.8, 1.2, vessels)

        sails = np.array(
            [
                (v, p, q, t)
                for v in range(vessels)
                for p in range(ports)
                for q in range(ports)
                for t in range(periods - time[p, q])
                if p != q
            ],
            int,
        ).reshape(-1, 4)
        v, p, q, t = sails.T
        variables = _Variables()
        sail = variables.add(
            [f"sail_{a}_{b}_{c}_{d}" for a, b, c, d in sails.tolist()], "B", 1.0, 1.0 + 100.0 * away[p, q] * price[v]
        )
        wait = variables.grid("wait", (vessels, ports, periods - 1), "B", 1.0)
        serve = variables.grid("serve", (vessels, ports, periods), "B", 1.0, 1.0)
        amount = variables.grid("amount", serve.shape, "C", hold[:, None, None])
        load = variables.grid("load", (vessels, periods), "C", hold[:, None])
        stock = variables.grid("stock", (ports, periods), "C", store[:, None])
        spot = variables.grid("spot", stock.shape, "C", np.inf, self.spot_price)

        rows = Rows()
        node = np.arange(serve.size).reshape(serve.shape)  # vessel, port and period
        at_first = np.zeros(serve.shape)
        at_first[np.arange(vessels), start, 0] = 1.0
        arrivals = np.concatenate([node[v, q, t + time[p, q]], node[:, :, 1:].ravel()])
        leaving = np.concatenate([node[v, p, t], node[:, :, :-1].ravel()])
        arcs = np.concatenate([sail, wait.ravel()])
        inner = node[:, :, :-1].ravel()  # a vessel may be anywhere in the last period
        number = np.full(node.size, -1)
        number[inner] = np.arange(inner.size)
        row, column = np.concatenate([number[leaving], number[arrivals]]), np.tile(arcs, 2)
        value, kept = np.repeat([1.0, -1.0], arcs.size), row >= 0
        first = at_first.ravel()[inner]
        rows.add(
            _names("flow", (*node.shape[:2], periods - 1)),
            row[kept],
            column[kept],
            value[kept],
            left=first,
            right=first,
        )
        rows.add(
            _names("present", node.shape),
            np.concatenate([node.ravel(), arrivals]),
            np.concatenate([serve.ravel(), arcs]),
            np.repeat([1.0, -1.0], [serve.size, arcs.size]),
            right=at_first.ravel(),
        )
        rows.add(
            _names("hold", node.shape),
            np.tile(node.ravel(), 2),
            np.concatenate([amount.ravel(), serve.ravel()]),
            np.concatenate([np.ones(serve.size), -np.broadcast_to(hold[:, None, None], serve.shape).ravel()]),
            right=0.0,
        )
        port, period = np.indices(stock.shape)
        here = port * periods + period
        of_port = np.broadcast_to(here, serve.shape)
        rows.add(_names("berths", stock.shape), of_port, serve, right=self.berths)
        into = np.broadcast_to(sign[:, None], serve.shape)  # of a vessel's hold, and out of a port's store
        _balance(
            rows, "stock_balance", stock, stock_before, sign * rate, [(of_port, amount, into), (here, spot, into[0])]
        )
        vessel, _, period = np.indices(serve.shape)
        _balance(
            rows,
            "load_balance",
            load,
            np.zeros(vessels),
            np.zeros(vessels),
            [(vessel * periods + period, amount, -into)],
        )
        return Milp(name="maritime", **variables.fields(), **rows.fields(variables.size))


class _Variables:
    """Collects variables in blocks; all are at least 0."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._blocks: list[tuple[NDArray[Any], ...]] = []

    @property
    def size(self) -> int:
        return len(self.names)

    def add(self, names: list[str], kind: str, upper: ArrayLike, cost: ArrayLike) -> NDArray[np.int64]:
        """Add variables; returns their positions."""
        first, n = self.size, len(names)
        limits, costs = (np.broadcast_to(np.asarray(each, np.float64), n) for each in (upper, cost))
        self._blocks.append((limits, costs, np.full(n, kind)))
        self.names.extend(names)
        return np.arange(first, first + n)

    def grid(
        self, name: str, shape: tuple[int, ...], kind: str, upper: ArrayLike, cost: float = 0.0
    ) -> NDArray[np.int64]:
        """Add variables for all positions in an array of that shape; returns theirs in this shape."""
        return self.add(_names(name, shape), kind, np.broadcast_to(upper, shape).ravel(), cost).reshape(shape)

    def fields(self) -> dict[str, Any]:
        """Arguments of a `Milp`."""
        upper, objective, kinds = (np.concatenate(each) for each in zip(*self._blocks, strict=True))
        lower = np.zeros(self.size)
        return {"lower": lower, "upper": upper, "objective": objective, "kinds": kinds, "columns": self.names}


def _names(name: str, shape: tuple[int, ...]) -> list[str]:
    return ["_".join([name, *map(str, place)]) for place in np.ndindex(shape)]


def _balance(
    rows: Rows,
    name: str,
    level: NDArray[np.int64],
    before: NDArray[np.float64],
    gain: NDArray[np.float64],
    losses: list[tuple[Any, Any, Any]],
) -> None:
    """Add rows: a level is that of the period before, plus a gain, minus losses (place, variable, coefficient)."""
    place = np.arange(level.size).reshape(level.shape)
    entries = [(place, level, np.ones(level.shape)), (place[:, 1:], level[:, :-1], np.full(place[:, 1:].shape, -1.0))]
    row, column, value = (
        np.concatenate([each.ravel() for each in part]) for part in zip(*entries, *losses, strict=True)
    )
    side = np.repeat(gain[:, None], level.shape[1], axis=1)
    side[:, 0] += before
    rows.add(_names(name, level.shape), row, column, value, left=side.ravel(), right=side.ravel())

"""`learnsys branch collect`: samples of strong branching, for imitation."""

from __future__ import annotations

import time
from pathlib import Path

from tyro.conf import CascadeSubcommandArgs as Shared  # may stand before and after the family

from learnsys.cli.branch_generate import AnyFamily
from learnsys.cli.console import print_json, print_table, progress_bar
from learnsys.envs.branching.instances.registry import FAMILIES, family_class


def collect(
    family: AnyFamily,
    *,
    out: Shared[Path],
    samples: Shared[int] = 1000,
    seed: Shared[int] = 0,
    probability: Shared[float] = 0.05,
    behaviour: Shared[str] = "pscost",
    pseudo_candidates: Shared[bool] = False,
    node_limit: Shared[int | None] = None,
    time_limit: Shared[float] = 3600.0,
    most_samples: Shared[int | None] = None,
    set: Shared[tuple[str, ...]] = (),
    workers: Shared[int] = 1,
    backend: Shared[str] = "loky",
    address: Shared[str | None] = None,
    json: Shared[bool] = False,
) -> int:
    """Collect samples of strong branching from random instances of a family.

    SCIP solves instance after instance. At each node, with a small probability, strong branching scores all
    candidates: the node becomes a sample and is branched on as the scores say. Elsewhere another rule branches
    (pseudocost branching by default). 80 % of the samples go to OUT/train, 10 % to OUT/valid and 10 % to OUT/test, by
    instances. SCIP separates at the root only and never restarts, as in Gasse et al. 2019.

    A run that was killed goes on where it was; a larger number of samples adds to those that are there. The
    parameters of a family, and where they are explained: learnsys branch generate FAMILY --help. They may also be part
    of its name, as in other commands: setcover:rows=100,cols=200.

    Args:
        out: the folder, one for each configuration.
        samples: of the three splits together; a few more may come, since instances are taken whole.
        seed: of the instances; those of different seeds have nothing in common.
        probability: part of the nodes that become samples.
        behaviour: who branches at the other nodes: a policy's name or folder.
        pseudo_candidates: score all unfixed discrete variables, not only those with a fractional LP value.
        node_limit: nodes per instance.
        time_limit: seconds per instance.
        most_samples: samples per instance.
        set: further SCIP parameters, as name=value.
        workers: processes; -1 is one for each core.
        backend: loky for this machine, dask or ray for a cluster.
        address: of the cluster.
        json: print JSON instead of a table.
    """
    from learnsys.cli.branch import parse_parameters
    from learnsys.policies.branching.collect import collect as run
    from learnsys.policies.branching.collect import quotas_of
    from learnsys.policies.branching.labelling import CollectConfig
    from learnsys.policies.branching.protocol import FIELD_PARAMETERS

    if samples < 1:
        from learnsys.errors import InputError

        raise InputError(f"{samples} samples cannot be collected", remedy="give at least 1")
    name = next(each for each in FAMILIES if family_class(each) is type(family))
    config = CollectConfig(
        seed=seed,
        probability=probability,
        behaviour=behaviour,
        pseudo_candidates=pseudo_candidates,
        node_limit=node_limit,
        time_limit=time_limit,
        most_samples=most_samples,
        scip_params={**FIELD_PARAMETERS, **parse_parameters(set)},
    )
    start = time.perf_counter()
    with progress_bar(f"samples of {name}", samples) as advance:
        found = run(
            name,
            family,
            quotas_of(samples),
            out,
            config,
            workers=workers,
            backend=backend,
            address=address,
            report=advance,
        )
    seconds = time.perf_counter() - start
    if json:
        print_json({"folder": str(out), "family": name, "seconds": round(seconds, 3), "splits": found})
        return 0
    rows = [(str(out / split), each["instances"], each["samples"]) for split, each in found.items()]
    print_table(f"{name}, {seconds:.0f} s", ("folder", "instances", "samples"), rows)
    return 0

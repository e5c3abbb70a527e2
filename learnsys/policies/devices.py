"""Where the networks of trained policies compute: in the fused kernels of the processor, or through torch on a device.

A policy that has a network has a method `through_torch(device)`: from then on its decisions take the scores of the
network that training uses, computed by torch on that device, in the place of the kernels'. They are the same up to
rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from learnsys.errors import InputError
from learnsys.policies.torch_setup import existing_device

KERNELS = "cpu"
"""the device that stands for the fused kernels"""
PARTS = ("policy", "construction", "first", "second")
"""what policies that are made of others call these"""

Policy = TypeVar("Policy")


def networks(policy: Any) -> Iterator[Any]:
    """The policies with a network that a policy is, or is made of."""
    if hasattr(policy, "through_torch"):
        yield policy
    else:
        for part in PARTS:
            yield from networks(vars(policy)[part]) if part in getattr(policy, "__dict__", {}) else ()


def check_device(device: str, policies: Mapping[str, Any]) -> None:
    """See to it that one of the policies, by their names, can compute on the device.

    Raises:
        InputError: there is no such device, or no policy with a network.
    """
    if device == KERNELS:
        return
    existing_device(device)
    if not any(True for policy in policies.values() for _ in networks(policy)):
        raise InputError(
            f"there is no network in {', '.join(policies)} that could compute on {device}",
            remedy="name a trained policy, or leave --device out",
        )


def on_device(policy: Policy, device: str) -> Policy:
    """The policy, its network (if it has one) computing on the device from now on; "cpu" leaves it to the kernels.

    Raises:
        InputError: there is no such device, or the network's weights are not whole.
    """
    if device != KERNELS:
        place = existing_device(device)
        for each in networks(policy):
            try:
                each.through_torch(place)
            except ValueError as error:  # kernels read only the parameters that they know
                raise InputError(f"the weights of {each.name} are not those of its network ({error})") from None
    return policy


def all_on_device(policies: Mapping[str, Any], device: str) -> None:
    """Let all networks among policies, by their names, compute on the device.

    Raises:
        InputError: as `check_device` and `on_device`.
    """
    check_device(device, policies)
    for policy in policies.values():
        on_device(policy, device)


def about(device: str) -> dict[str, str]:
    """What a run's configuration says of its device: nothing if that is the usual one."""
    return {} if device == KERNELS else {"device": device}

"""Where SCIP asks: the plugins whose callbacks are the decisions of an environment."""

from __future__ import annotations

from typing import Any

from pyscipopt import SCIP_RESULT, Branchrule

BRANCHED = {"result": SCIP_RESULT.BRANCHED}
DECLINED = {"result": SCIP_RESULT.DIDNOTRUN}


class AskingRule(Branchrule):
    """A branching rule that asks at each node whose relaxation has a fractional solution."""

    hook = "branchexeclp"

    def decline(self) -> dict[str, Any]:
        """SCIP's next rule branches, unless this node has been branched on already."""
        return BRANCHED if self.model.getNChildren() else DECLINED

    def branchexecps(self, allowaddcons: bool) -> dict[str, Any]:
        """No relaxation was solved here: SCIP branches by itself."""
        return DECLINED

    branchexecext = branchexecps

"""The C library of SCIP that PySCIPOpt brings, callable from Numba kernels.

PySCIPOpt's extension module is linked against libscip, so `dlsym` on the extension finds every exported function
without any search for the library. Each function that the kernels need is registered with LLVM under its name;
kernels then call it as a Numba `ExternalFunction`, which, unlike a ctypes pointer, can be compiled into a kernel
that is cached on disk and loaded by another process.

Only exported functions are called, so the layout of SCIP's memory does not matter; of the one field that is read
without a call, `place_of_int` measures the place, and the kernel checks what it finds there. What does matter are the
signatures below; they are those of SCIP 10. With any other version, or where a symbol is missing, `available()` is
False and everything that uses this module does its work through PySCIPOpt's own methods.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import llvmlite.binding
import llvmlite.ir
from numba import types
from numba.core import sigutils
from numba.extending import intrinsic

if TYPE_CHECKING:
    from pyscipopt import Model

SCIP_MAJOR = 10
"""The major version of SCIP whose signatures are declared here."""

STAGE_PROBLEM = 1
STAGE_SOLVING = 9
LP_NOT_SOLVED = 0

_NINE_ANSWERS = ", ".join(["intp"] * 9)
# intp stands for any pointer, uint32 for SCIP_Bool and the enumerations, float64 for SCIP_Real
_SIGNATURES = {
    "SCIPgetStage": "uint32(intp)",
    "SCIPgetLPSolstat": "uint32(intp)",
    "SCIPgetNRuns": "int32(intp)",
    "SCIPgetNLPs": "int64(intp)",
    "SCIPgetObjNorm": "float64(intp)",
    "SCIPinfinity": "float64(intp)",
    "SCIPepsilon": "float64(intp)",
    "SCIPfeastol": "float64(intp)",
    "SCIPgetObjsense": "int32(intp)",
    "SCIPgetConss": "intp(intp)",
    "SCIPgetNConss": "int32(intp)",
    "SCIPgetConsNVars": "int32(intp, intp, intp, intp)",
    "SCIPgetConsVars": "int32(intp, intp, intp, int32, intp)",
    "SCIPgetConsVals": "int32(intp, intp, intp, int32, intp)",
    "SCIPconsGetLhs": "float64(intp, intp, intp)",
    "SCIPconsGetRhs": "float64(intp, intp, intp)",
    "SCIPgetProbvarLinearSum": "int32(intp, intp, intp, intp, int32, intp, intp)",
    "SCIPgetVars": "intp(intp)",
    "SCIPgetNVars": "int32(intp)",
    "SCIPgetLPRows": "intp(intp)",
    "SCIPgetNLPRows": "int32(intp)",
    "SCIPgetNLPCols": "int32(intp)",
    "SCIPgetLPBranchCands": "int32(intp, intp, intp, intp, intp, intp, intp)",
    "SCIPgetPseudoBranchCands": "int32(intp, intp, intp, intp)",
    "SCIPgetLPObjval": "float64(intp)",
    "SCIPisFeasIntegral": "uint32(intp, float64)",
    "SCIPstartStrongbranch": "int32(intp, uint32)",
    "SCIPendStrongbranch": "int32(intp)",
    "SCIPgetVarStrongbranchFrac": f"int32(intp, intp, int32, uint32, {_NINE_ANSWERS})",
    "SCIPgetVarStrongbranchInt": f"int32(intp, intp, int32, uint32, {_NINE_ANSWERS})",
    "SCIPgetBranchScoreMultiple": "float64(intp, intp, int32, intp)",
    "SCIPbranchVar": "int32(intp, intp, intp, intp, intp)",
    "SCIPgetBestSol": "intp(intp)",
    "SCIPsolGetIndex": "int32(intp)",
    "SCIPgetSolVal": "float64(intp, intp, intp)",
    "SCIPvarGetIndex": "int32(intp)",
    "SCIPvarGetProbindex": "int32(intp)",
    "SCIPvarGetStatus": "uint32(intp)",
    "SCIPvarGetType": "uint32(intp)",
    "SCIPvarIsImpliedIntegral": "uint32(intp)",
    "SCIPvarGetObj": "float64(intp)",
    "SCIPvarGetLbLocal": "float64(intp)",
    "SCIPvarGetUbLocal": "float64(intp)",
    "SCIPvarGetLPSol": "float64(intp)",
    "SCIPvarGetAvgSol": "float64(intp)",
    "SCIPvarGetCol": "intp(intp)",
    "SCIPvarGetCutoffSum": "float64(intp, uint32)",
    "SCIPvarGetNBranchings": "int64(intp, uint32)",
    "SCIPgetVarPseudocost": "float64(intp, intp, uint32)",
    "SCIPgetVarPseudocostScore": "float64(intp, intp, float64)",
    "SCIPgetColRedcost": "float64(intp, intp)",
    "SCIPcolGetLb": "float64(intp)",
    "SCIPcolGetUb": "float64(intp)",
    "SCIPcolGetPrimsol": "float64(intp)",
    "SCIPcolGetAge": "int32(intp)",
    "SCIPcolGetBasisStatus": "uint32(intp)",
    "SCIPcolGetVarProbindex": "int32(intp)",
    "SCIProwGetIndex": "int32(intp)",
    "SCIProwIsModifiable": "uint32(intp)",
    "SCIProwGetCols": "intp(intp)",
    "SCIProwGetVals": "intp(intp)",
    "SCIProwGetNNonz": "int32(intp)",
    "SCIProwGetNLPNonz": "int32(intp)",
    "SCIProwGetLhs": "float64(intp)",
    "SCIProwGetRhs": "float64(intp)",
    "SCIProwGetConstant": "float64(intp)",
    "SCIProwGetNorm": "float64(intp)",
    "SCIProwGetDualsol": "float64(intp)",
    "SCIProwGetAge": "int32(intp)",
    "SCIPgetRowLPActivity": "float64(intp, intp)",
}


@functools.cache
def library() -> ctypes.CDLL:
    """PySCIPOpt's extension module, through which the functions of libscip are found."""
    import pyscipopt.scip

    return ctypes.CDLL(pyscipopt.scip.__file__)


@functools.cache
def why_unavailable() -> str | None:
    """Register the functions with LLVM on the first call; None, or what keeps them from being used."""
    try:
        lib = library()
        major = lib.SCIPmajorVersion()
        if major != SCIP_MAJOR:
            return f"the kernels know SCIP {SCIP_MAJOR}, PySCIPOpt brings SCIP {major}"
        for name in _SIGNATURES:
            address = ctypes.cast(getattr(lib, name), ctypes.c_void_p).value
            llvmlite.binding.add_symbol(name, address)
    except (ImportError, OSError, AttributeError) as error:
        return f"libscip cannot be reached through PySCIPOpt: {error}"
    return None


def available() -> bool:
    """Whether kernels can call libscip. The answer never changes within a process."""
    return why_unavailable() is None


@functools.cache
def kernels(module: str) -> ModuleType | None:
    """The module of kernels of that name, imported (and compiled, if need be) on the first call.

    None where libscip is not available: compiling a kernel against it would end the process.
    """
    return importlib.import_module(module) if available() else None


def function(name: str) -> Any:
    """The C function `name` for use in a Numba kernel.

    Raises:
        ImportError: libscip is not available; compiling a kernel against it would end the process.
    """
    reason = why_unavailable()
    if reason is not None:
        raise ImportError(reason)
    arguments, result = sigutils.normalize_signature(_SIGNATURES[name])
    return types.ExternalFunction(name, result(*arguments))


@functools.cache
def place_of_int(name: str) -> int:
    """Where in its structure the accessor `name` reads a C int, in bytes; -1 if it does more than to read one.

    It is called on two blocks of integers that tell their own places.
    """
    if not available():
        return -1
    accessor = getattr(library(), name)
    accessor.restype, accessor.argtypes = ctypes.c_int32, [ctypes.c_void_p]
    size = 4096
    places = []
    for shift in (0, size):
        block = (ctypes.c_int32 * (size // 4))(*range(shift, shift + size, 4))
        places.append(accessor(ctypes.addressof(block)) - shift)
    return places[0] if places[0] == places[1] and 0 <= places[0] < size else -1


_pointer_of_capsule = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of_capsule.restype = ctypes.c_void_p
_pointer_of_capsule.argtypes = [ctypes.py_object, ctypes.c_char_p]


def _address(model: Model) -> int:
    return _pointer_of_capsule(model.to_ptr(False), b"scip")


@functools.cache
def _hash_is_address() -> bool:
    """Whether a model's hash is the address of its SCIP instance, as in PySCIPOpt 6; it is ten times as fast to get."""
    from pyscipopt import Model

    model = Model()
    try:
        return hash(model) == _address(model)
    finally:
        model.free()


def pointer(model: Model) -> int:
    """Address of the SCIP instance of `model`.

    Raises:
        ValueError: the model has been freed.
    """
    return (_hash_is_address() and hash(model)) or _address(model)


def _load(element: types.Type, llvm_type: Any) -> Any:
    def load(typing_context: Any, address: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            base = builder.inttoptr(arguments[0], llvm_type.as_pointer())
            return builder.load(builder.gep(base, [arguments[1]]))

        return element(types.intp, types.intp), codegen

    return intrinsic(load)


load_pointer = _load(types.intp, llvmlite.ir.IntType(8 * ctypes.sizeof(ctypes.c_void_p)))
"""`load_pointer(address, i)`: element i of the C array of pointers at `address`, in a kernel."""

load_int = _load(types.int32, llvmlite.ir.IntType(32))
"""`load_int(address, i)`: element i of the C array of ints at `address`, in a kernel."""

load_real = _load(types.float64, llvmlite.ir.DoubleType())
"""`load_real(address, i)`: element i of the C array of doubles at `address`, in a kernel."""

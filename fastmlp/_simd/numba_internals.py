"""What the library uses of Numba and llvmlite beyond `numba.njit` and `numba.extending`: every such import is here.

A vector type needs Numba's low-level extension interface and its code libraries, which any release of Numba may change.
`tests/simd/test_numba_internals.py` has a test for each name and each member listed below, so that a new release fails
there and says what has moved. That is the reason for the upper bound on numba in pyproject.toml: it is the newest
release for which these tests, and the golden hashes, have passed.
"""

import llvmlite.binding as llvm
from llvmlite import ir as llvm_ir
from numba.core import cgutils, config, typed_passes, types, untyped_passes
from numba.core import ir as numba_ir
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.caching import CompileResultCacheImpl, FunctionCache, InTreeCacheLocator, NullCache
from numba.core.codegen import JITCodeLibrary, get_host_cpu_features
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.datamodel import models
from numba.core.imputils import lower_constant
from numba.core.ir_utils import build_definitions
from numba.core.typing import signature
from numba.core.typing.templates import AbstractTemplate, infer_global

__all__ = [
    "UNUSED_PASSES",
    "AbstractTemplate",
    "CompileResultCacheImpl",
    "Compiler",
    "FunctionCache",
    "FunctionPass",
    "InTreeCacheLocator",
    "JITCodeLibrary",
    "NullCache",
    "build_definitions",
    "cgutils",
    "compute_cfg_from_blocks",
    "config",
    "get_host_cpu_features",
    "infer_global",
    "llvm",
    "llvm_ir",
    "lower_constant",
    "models",
    "numba_ir",
    "register_pass",
    "signature",
    "typed_passes",
    "types",
    "untyped_passes",
]

# Passes of Numba that kernels do not need: those for closures, inlining, array expressions and the like
UNUSED_PASSES = (
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
    untyped_passes.RewriteSemanticConstants,
    untyped_passes.DeadBranchPrune,
    untyped_passes.RewriteDynamicRaises,
    untyped_passes.MakeFunctionToJitFunction,
    untyped_passes.InlineInlinables,
    untyped_passes.FindLiterallyCalls,
    untyped_passes.LiteralUnroll,
    typed_passes.InlineOverloads,
    typed_passes.NopythonRewrites,
    typed_passes.AnnotateTypes,
    typed_passes.DumpParforDiagnostics,
)

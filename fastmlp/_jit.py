"""How the library's functions are compiled: `kernel` for those that Python calls, `inline` for those inside them.

Numba would optimise every function by itself, again inside each of its callers, and turn each into machine code
that nobody calls. A function marked `inline` is only translated, and optimised once, in the kernel. Both kinds skip
Numba's passes for closures, inlining, array expressions and the like, which they do not use. Together this makes
compiling several times faster and changes nothing in the result.
"""

from collections.abc import Callable
from typing import Any

import numba
from numba.core import typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from fastmlp._cache import cache_of

_UNUSED_PASSES = (
    untyped_passes.WithLifting,
    untyped_passes.InlineClosureLikes,
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


class _KernelCompiler(Compiler):
    def define_pipelines(self):
        pipelines = super().define_pipelines()
        for manager in pipelines:
            manager.passes[:] = [entry for entry in manager.passes if entry[0] not in _UNUSED_PASSES]
            manager.finalize()
        self.state.type_annotation = None
        return pipelines


class _InlinedLibrary(JITCodeLibrary):
    """Code that is only ever linked into other code."""

    def _optimize_functions(self, module):
        pass

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True

    def get_pointer_to_function(self, _name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        """Environments belong to what Python calls."""


class _InlineCompiler(_KernelCompiler):
    def define_pipelines(self):
        self.state.flags.no_cpython_wrapper = True
        self.state.flags.no_cfunc_wrapper = True
        self.state.library = _InlinedLibrary(self.state.targetctx.codegen(), "inlined")
        return super().define_pipelines()


INLINE: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True, "pipeline_class": _InlineCompiler}
inline = numba.njit(**INLINE)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep its code for other processes."""
    compiled = numba.njit(nogil=True, error_model="numpy", pipeline_class=_KernelCompiler)(function)
    if hasattr(compiled, "_cache"):  # else NUMBA_DISABLE_JIT is set
        compiled._cache = cache_of(function)
    return compiled

"""Compile functions: `kernel` for those that Python calls, `inline` for those that only kernels call.

Numba would optimise every function by itself, again inside each of its callers, and turn each into machine code
that is never called. A function marked `inline` is only translated, and optimised once, in the kernel. Both kinds skip
passes of Numba that they do not need, such as those for closures, inlining and array expressions. This makes compiling
several times faster, with the same result.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import config, typed_passes, types, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

from fastmlp._simd.cache import cache_of

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
    """A code library that is only linked into others."""

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
        """Only functions that Python calls need environments."""


class _InlineCompiler(_KernelCompiler):
    def define_pipelines(self):
        self.state.flags.no_cpython_wrapper = True
        self.state.flags.no_cfunc_wrapper = True
        self.state.library = _InlinedLibrary(self.state.targetctx.codegen(), "inlined")
        return super().define_pipelines()


INLINE: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True, "pipeline_class": _InlineCompiler}


def inline(function: Callable[..., Any]) -> Any:
    """Make a function part of the kernels that call it.

    Numba would translate it once for each value of a constant argument, and again if the argument turns out to be
    variable. Here constants have the types of variables; LLVM still propagates them.
    """
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return function
    dispatcher: Any = numba.njit(**INLINE)(function)
    resolve = dispatcher.get_call_template

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        return resolve(
            tuple(map(types.unliteral, arguments)), {name: types.unliteral(kind) for name, kind in keywords.items()}
        )

    dispatcher.get_call_template = get_call_template
    return dispatcher


class Kernel:
    """A compiled function that Python calls.

    Numba would determine the types of all arguments at each call, field by field, which takes many times as long as the
    call. Here each argument has a key: for a buffer or a vector kind its Numba type, for a number its class, for a
    tuple its fields. The code for each combination of keys is looked up once.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        dispatcher: Any = numba.njit(nogil=True, error_model="numpy", pipeline_class=_KernelCompiler)(function)
        dispatcher._cache = cache_of(function)
        self.dispatcher = dispatcher
        self._codes: dict[Any, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        return self.code_for(arguments)(*arguments)

    def code_for(self, arguments: tuple[Any, ...]) -> Callable[..., Any]:
        """The compiled code for arguments of these types. It does not check types: wrong ones crash the process."""
        kinds = _kinds_of(arguments)
        code = self._codes.get(kinds)
        if code is None:
            signature = tuple(map(self.dispatcher.typeof_pyval, arguments))
            self.dispatcher.compile(signature)
            code = self._codes[kinds] = self.dispatcher.overloads[signature].entry_point
        return code


_NUMBERS = {int, bool, float, np.uint64}


def _kinds_of(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key for a Numba type: its id, because types live for ever and are slow to hash."""
    return (
        type(values),
        *[
            type(x) if type(x) in _NUMBERS else _kinds_of(x) if isinstance(x, tuple) else id(x._numba_type_)
            for x in values
        ],
    )


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and keep its code for other processes."""
    return function if config.DISABLE_JIT else Kernel(function)  # type: ignore[attr-defined]


def code_for(function: Any, arguments: tuple[Any, ...]) -> Callable[..., Any]:
    """The code of a kernel for arguments of these types, for many calls: see `Kernel.code_for`."""
    return function.code_for(arguments) if isinstance(function, Kernel) else function

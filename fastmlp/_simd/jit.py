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

from fastmlp._simd.cache import cache_of
from fastmlp._simd.numba_internals import UNUSED_PASSES, Compiler, JITCodeLibrary, config, llvm, types, untyped_passes
from fastmlp._simd.static_branches import PruneStaticBranches


class _InlinedLibrary(JITCodeLibrary):
    """A function's code that is only linked into other code, and `used`, the libraries of what it calls."""

    def __init__(self, codegen, name):
        super().__init__(codegen, name)
        self.used = []

    def add_linking_library(self, library):
        library._ensure_finalized()
        self.used.append(library)

    def _optimize_functions(self, module):
        pass

    def finalize(self):
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        self._finalized = True

    def module_alone(self):
        """The module without what it calls."""
        return self._final_module

    def _get_module_for_linking(self):
        """The module with all that it calls, for functions that are not kernels."""
        if self._shared_module is None:
            self._shared_module = self._final_module.clone()
            for library in self.used:
                self._shared_module.link_in(library._get_module_for_linking(), preserve=True)
        return self._shared_module

    def get_pointer_to_function(self, _name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        """Only functions that Python calls need environments."""


class _KernelLibrary(JITCodeLibrary):
    """The machine code of a kernel: every function that it calls is linked once, and all are optimised together."""

    def add_linking_library(self, library):
        if library not in self._linking_libraries:
            super().add_linking_library(library)
            if isinstance(library, _InlinedLibrary):
                for used in library.used:  # after it: only what is called already is linked
                    self.add_linking_library(used)

    def finalize(self):
        for library in self._linking_libraries:
            alone = isinstance(library, _InlinedLibrary)
            module = library.module_alone() if alone else library._get_module_for_linking()
            self._final_module.link_in(module, preserve=True)
        self._linking_libraries = []
        super().finalize()

    def _optimize_functions(self, module):
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self):
        # the kernels' vectors are explicit: to look for others takes long and finds nothing
        passes, builder = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
        with self._recorded_timings.record("Module passes", builder):
            passes.run(self._final_module, builder)


class _KernelCompiler(Compiler):
    library: type[JITCodeLibrary] = _KernelLibrary

    def define_pipelines(self):
        codegen = self.state.targetctx.codegen()
        self.state.flags.no_cfunc_wrapper = True
        self.state.library = self.library(codegen, self.state.func_id.func_qualname)
        self.state.library.enable_object_caching()
        pipelines = super().define_pipelines()
        for manager in pipelines:
            manager.passes[:] = [entry for entry in manager.passes if entry[0] not in UNUSED_PASSES]
            if any(entry[0] is untyped_passes.IRProcessing for entry in manager.passes):
                manager.add_pass_after(PruneStaticBranches, untyped_passes.FixupArgs)
            manager.finalize()
        self.state.type_annotation = None
        return pipelines


class _InlineCompiler(_KernelCompiler):
    library = _InlinedLibrary

    def define_pipelines(self):
        self.state.flags.no_cpython_wrapper = True
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
    resolve, known = dispatcher.get_call_template, {}

    def get_call_template(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        given = tuple(map(types.unliteral, arguments)), {n: types.unliteral(kind) for n, kind in keywords.items()}
        key = (tuple(map(id, given[0])), tuple((name, id(kind)) for name, kind in given[1].items()))
        if key not in known:  # by id, for types are slow to hash; `given` keeps them
            known[key] = resolve(*given), given
        return known[key][0]

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

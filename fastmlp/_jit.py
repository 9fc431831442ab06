"""How the library's functions are compiled: `kernel` for those that Python calls, `inline` for those inside them.

Numba would optimise every function by itself, again inside each of its callers, and turn each into machine code
that nobody calls. A function marked `inline` is only translated, and optimised once, in the kernel: this makes
compiling a kernel several times faster and changes nothing in the result.
"""

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class _InlinedLibrary(JITCodeLibrary):
    """Code that is only ever linked into other code."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        """Environments belong to what Python calls."""


class _InlineCompiler(Compiler):
    def define_pipelines(self):
        self.state.flags.no_cpython_wrapper = True
        self.state.flags.no_cfunc_wrapper = True
        self.state.library = _InlinedLibrary(self.state.targetctx.codegen(), "inlined")
        return super().define_pipelines()


inline = numba.njit(nogil=True, error_model="numpy", forceinline=True, pipeline_class=_InlineCompiler)
kernel = numba.njit(nogil=True, error_model="numpy", cache=True)

"""Numba's and llvmlite's internals that the library uses: a new release that moves one of them fails here, by its name.

Each has a test of what the library relies on. The kernels' own tests would fail too, but far from the reason.
"""

import ast
import inspect
from collections import namedtuple

import numba
import numpy as np
import pytest
from llvmlite import binding
from numba.core.cpu import CPUContext
from numba.core.registry import cpu_target
from numba.extending import intrinsic, lower_builtin

import fastmlp
from fastmlp._simd import numba_internals as internals
from tests.support.data import ROOT

LIBRARY_MEMBERS = [
    "_linking_libraries",
    "_final_module",
    "_shared_module",
    "_finalized",
    "_codegen",
    "_recorded_timings",
]
LIBRARY_METHODS = {
    "add_linking_library": ["library"],
    "finalize": [],
    "enable_object_caching": [],
    "_ensure_finalized": [],
    "_get_module_for_linking": [],
    "_optimize_functions": ["ll_module"],
    "_optimize_final_module": [],
}
CACHE_METHODS = {"_load_overload": ["sig", "target_context"], "_save_overload": ["sig", "data"]}


def parameters(method):
    return [name for name in inspect.signature(method).parameters if name != "self"]


def compiled(emit, value):
    """The result of compiled code, which `emit` writes, for one argument; it has the argument's type."""

    @intrinsic
    def written(_context, kind):
        return internals.signature(kind, kind), emit

    return numba.njit(lambda x: written(x))(value)  # noqa: PLW0108 (an intrinsic is no function)


def doubled(x):
    return 2 * x


def test_no_other_module_imports_them():
    for path in (ROOT / "fastmlp").rglob("*.py"):
        if path.name == "numba_internals.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith(("numba.core", "llvmlite.")), f"{path} imports {name}"


def test_every_name_is_used():
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "fastmlp").rglob("*.py")
        if path.name != "numba_internals.py"
    )
    assert [name for name in internals.__all__ if name not in sources] == []


# ------------------------------------------------------------------------------------------------ types and models


@pytest.mark.parametrize(
    "name",
    ["Type", "Number", "Integer", "Float", "NamedTuple", "UniTuple", "boolean", "float32", "float64", "intp", "none"],
)
def test_types_has(name):
    assert hasattr(internals.types, name)


def test_types_have_bit_widths_and_unliteral():
    types = internals.types
    assert (types.float32.bitwidth, types.uint64.bitwidth) == (32, 64)
    assert types.unliteral(types.literal(3)) == types.intp


def test_types_of_named_tuples_have_fields():
    kind = numba.typeof(namedtuple("Pair", "x y")(1, 2.0))
    assert isinstance(kind, internals.types.NamedTuple)
    assert kind.fields == ("x", "y")
    assert kind.types == (internals.types.intp, internals.types.float64)


def test_a_type_name_identifies_it():
    class Named(internals.types.Type):
        def __init__(self, word):
            super().__init__(name=f"named({word})")

    assert Named("a") == Named("a") != Named("b")


def test_models_take_their_llvm_type():
    assert parameters(internals.models.PrimitiveModel.__init__) == ["dmm", "fe_type", "be_type"]
    assert parameters(internals.models.OpaqueModel.__init__) == ["dmm", "fe_type"]


@pytest.mark.parametrize("name", ["DISABLE_JIT", "BOUNDSCHECK", "CPU_NAME", "CPU_FEATURES"])
def test_config_has(name):
    assert hasattr(internals.config, name)


# ------------------------------------------------------------------------------------------------ writing LLVM code


def test_vectors_are_llvm_types():
    ir = internals.llvm_ir

    def emit(_context, builder, _signature, values):
        vector = ir.VectorType(ir.IntType(64), 4)
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), values[0], ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), 4), [0] * 4)
        every = builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)
        return builder.extract_element(builder.add(every, every), ir.IntType(32)(3))

    assert compiled(emit, 21) == 42


def test_cgutils_calls_functions_of_llvm_by_name():
    ir = internals.llvm_ir

    def emit(_context, builder, _signature, values):
        kind = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()] * 3)
        fma = internals.cgutils.get_or_insert_function(builder.module, kind, "llvm.fma.f64")
        return builder.call(fma, 3 * list(values))

    assert compiled(emit, 3.0) == 12.0


def test_cgutils_has_places_for_variables():
    def emit(_context, builder, _signature, values):
        place = internals.cgutils.alloca_once_value(builder, values[0])
        other = internals.cgutils.alloca_once(builder, values[0].type)
        builder.store(builder.load(place), other)
        return builder.load(other)

    assert compiled(emit, 7) == 7


def test_cgutils_checks_bounds_and_packs():
    assert parameters(internals.cgutils.do_boundscheck)[:4] == ["context", "builder", "ind", "dimlen"]
    assert parameters(internals.cgutils.pack_struct)[:2] == ["builder", "values"]


def test_constants_of_opaque_types_are_lowered_to_dummies():
    assert callable(internals.lower_constant)
    assert parameters(CPUContext.get_dummy_value) == []
    assert parameters(CPUContext.get_constant) == ["ty", "val"]


def test_templates_give_signatures_to_functions():
    class Template(internals.AbstractTemplate):
        key = doubled

        def generic(self, args, _keywords):
            return internals.signature(args[0], *args)

    internals.infer_global(doubled)(Template)

    @lower_builtin(doubled, internals.types.Integer)
    def _lower(_context, builder, _signature, values):
        return builder.add(values[0], values[0])

    assert numba.njit(lambda x: doubled(x))(4) == 8  # noqa: PLW0108


# ------------------------------------------------------------------------------------------------ the compiler


def test_unused_passes_are_passes_of_the_default_pipeline():
    class Listing(internals.Compiler):
        found = []

        def define_pipelines(self):
            pipelines = super().define_pipelines()
            type(self).found = [entry[0] for manager in pipelines for entry in manager.passes]
            return pipelines

    assert numba.njit(pipeline_class=Listing)(lambda x: x + 1)(1) == 2
    missing = [passed.__name__ for passed in internals.UNUSED_PASSES if passed not in Listing.found]
    assert missing == [], "the default pipeline has not these passes any more"
    assert internals.untyped_passes.IRProcessing in Listing.found
    assert internals.untyped_passes.FixupArgs in Listing.found


def test_the_flags_of_a_compilation():
    class Flags(internals.Compiler):
        def define_pipelines(self):
            flags = self.state.flags
            flags.no_cfunc_wrapper = True
            assert flags.no_cpython_wrapper is False
            assert self.state.func_id.func_qualname
            assert self.state.targetctx.codegen()
            return super().define_pipelines()

    assert numba.njit(pipeline_class=Flags)(lambda x: x + 1)(1) == 2


def test_members_of_code_libraries():
    assert {name: parameters(getattr(internals.JITCodeLibrary, name)) for name in LIBRARY_METHODS} == LIBRARY_METHODS
    library = cpu_target.target_context.codegen().create_library("members")
    assert isinstance(library, internals.JITCodeLibrary)
    assert [name for name in LIBRARY_MEMBERS if not hasattr(library, name)] == []


def test_members_of_the_code_generator():
    codegen = cpu_target.target_context.codegen()
    assert codegen._data_layout
    passes, builder = codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
    assert callable(passes.run)
    assert builder is not None


def test_members_of_llvm_modules():
    module = binding.parse_assembly("define void @f() { ret void }")
    [function] = module.functions
    assert function.linkage == internals.llvm.Linkage.external
    assert not function.is_declaration
    function.linkage = "linkonce_odr"
    assert "linkonce_odr" in str(module.clone())


def test_members_of_dispatchers():
    dispatcher = numba.njit(lambda x: x + 1)
    dispatcher(1)
    signature = (dispatcher.typeof_pyval(1),)
    assert dispatcher.overloads[signature].entry_point(1) == 2
    assert parameters(dispatcher.get_call_template) == ["args", "kws"]
    assert hasattr(dispatcher, "_cache")
    assert hasattr(dispatcher, "stats")


def test_passes_over_numba_ir():
    ir, seen = internals.numba_ir, []

    @internals.register_pass(mutates_CFG=True, analysis_only=False)
    class Look(internals.FunctionPass):
        _name = "look"

        def __init__(self):
            super().__init__()

        def run_pass(self, state):
            blocks = state.func_ir.blocks
            seen.extend(statement for block in blocks.values() for statement in block.body)
            assert not internals.compute_cfg_from_blocks(blocks).dead_nodes()
            state.func_ir._definitions = internals.build_definitions(blocks)
            assert len(state.args) == 1
            return False

    class Looking(internals.Compiler):
        def define_pipelines(self):
            pipelines = super().define_pipelines()
            for manager in pipelines:
                if any(entry[0] is internals.untyped_passes.IRProcessing for entry in manager.passes):
                    manager.add_pass_after(Look, internals.untyped_passes.FixupArgs)
                manager.finalize()
            return pipelines

    numba.njit(pipeline_class=Looking)(lambda x: -x if x > 2 else bool(x))(1)
    values = [statement.value for statement in seen if isinstance(statement, ir.Assign)]
    assert {value.op for value in values if isinstance(value, ir.Expr)} >= {"binop", "unary", "call", "cast"}
    assert any(isinstance(value, ir.Arg) and value.index == 0 for value in values)
    assert any(isinstance(value, ir.Const) and value.value == 2 for value in values)
    [branch] = [statement for statement in seen if isinstance(statement, ir.Branch)]
    assert ir.Jump(branch.truebr, branch.loc).target == branch.truebr


# ------------------------------------------------------------------------------------------------ the cache


def test_members_of_function_caches():
    assert {name: parameters(getattr(internals.FunctionCache, name)) for name in CACHE_METHODS} == CACHE_METHODS
    assert internals.FunctionCache._impl_class is internals.CompileResultCacheImpl
    assert internals.CompileResultCacheImpl._locator_classes
    cache = internals.FunctionCache(_cached)
    assert all(hasattr(cache, name) for name in ("_cache_path", "_cache_file", "_impl"))
    assert cache._impl.filename_base
    assert internals.NullCache().cache_path is None


def _cached(x):
    return x


def test_members_of_cache_locators():
    locator = internals.InTreeCacheLocator(_cached, __file__)
    assert locator.get_cache_path() == locator._cache_path
    assert internals.InTreeCacheLocator.get_suitable_cache_subpath(__file__)


# ------------------------------------------------------------------------------------------------ the processor


def test_the_processor_has_features():
    features = internals.get_host_cpu_features()
    assert isinstance(features, str)
    assert all(feature[0] in "+-" for feature in features.split(",") if feature)
    assert isinstance(internals.llvm.get_host_cpu_name(), str)


def test_vectors_go_through_compiled_code_and_back():
    """All of it together."""
    runs = fastmlp.train(fastmlp.Architecture((1, 1)), [[1.0]], [1.0], n_nets=3, epochs=1)
    assert np.isfinite(runs.loss).all()

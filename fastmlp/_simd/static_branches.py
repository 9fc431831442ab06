"""Leave out code that a kernel never runs: branches that a number in its compiled signature decides.

A field of a kernel's arguments can be a `StaticNumber`, such as the optimizer's method. Before Numba looks at types,
every read of it becomes its value, and `if`s whose conditions are then known keep one branch. What the other would have
called is not compiled. Conditions may compare such numbers with constants, negate and combine them; outside of an `if`,
an `and` or `or` is known only if its first part decides.
"""

import operator
from collections.abc import Iterable, Iterator
from typing import Any

from fastmlp._simd.numba_internals import FunctionPass, build_definitions, compute_cfg_from_blocks, register_pass, types
from fastmlp._simd.numba_internals import numba_ir as ir
from fastmlp._simd.types import StaticType

_UNKNOWN = object()
_OPERATORS = {
    operator.eq,
    operator.ne,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
    operator.not_,
    operator.and_,
    operator.or_,
}


@register_pass(mutates_CFG=True, analysis_only=False)
class PruneStaticBranches(FunctionPass):
    """Numba's pass over the code of one function, whose arguments' types are known."""

    _name = "prune_static_branches"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        if not any(map(_is_partly_static, state.args)):
            return False
        function_ir = state.func_ir
        while _prune(function_ir.blocks, state.args):
            pass
        function_ir._definitions = build_definitions(function_ir.blocks)
        return True


def _is_partly_static(kind: Any) -> bool:
    fields = kind.types if isinstance(kind, types.NamedTuple) else (kind,)
    return any(_number_of(field) is not _UNKNOWN for field in fields)


def _number_of(kind: Any) -> Any:
    return kind.word if isinstance(kind, StaticType) and not isinstance(kind.word, str) else _UNKNOWN


def _prune(blocks: dict[int, Any], kinds: tuple[Any, ...]) -> bool:
    """Replace reads of static numbers by their values, and branches on known values by jumps; whether there were any.

    Variables that are assigned in two branches can become known when one of them is gone.
    """
    values = _Values(blocks, kinds)
    for statement in _assignments(blocks.values()):
        value = statement.value
        if isinstance(value, ir.Arg) or (isinstance(value, ir.Expr) and value.op == "getattr"):
            number = values.of(value)
            if isinstance(number, int):
                statement.value = ir.Const(number, value.loc)
    pruned = False
    for block in blocks.values():
        branch = block.body[-1]
        if isinstance(branch, ir.Branch) and (taken := values.of(branch.cond)) is not _UNKNOWN:
            block.body[-1] = ir.Jump(branch.truebr if taken else branch.falsebr, branch.loc)
            pruned = True
    for dead in compute_cfg_from_blocks(blocks).dead_nodes():
        del blocks[dead]
    return pruned


def _assignments(blocks: Iterable[Any]) -> Iterator[Any]:
    return (statement for block in blocks for statement in block.body if isinstance(statement, ir.Assign))


class _Values:
    """What is known about variables that are assigned once: numbers, and the types of arguments."""

    def __init__(self, blocks: dict[int, Any], kinds: tuple[Any, ...]) -> None:
        self._kinds = kinds
        self._definitions: dict[str, Any] = {}
        for statement in _assignments(blocks.values()):
            name = statement.target.name
            self._definitions[name] = None if name in self._definitions else statement.value

    def of(self, value: Any) -> Any:
        """The value of a variable or expression, the type of an argument that is a tuple, or `_UNKNOWN`."""
        if isinstance(value, ir.Var):
            return self.of(self._definitions.get(value.name))
        if isinstance(value, ir.Arg):
            kind = self._kinds[value.index]
            return kind if isinstance(kind, types.NamedTuple) else _number_of(kind)
        if isinstance(value, (ir.Const, ir.Global, ir.FreeVar)):
            return value.value
        if not isinstance(value, ir.Expr):
            return _UNKNOWN
        if value.op == "getattr":
            return self.of_attribute(value)
        if value.op == "cast":
            return self.of(value.value)
        if value.op == "binop" and value.fn in _OPERATORS:
            return self._result(value.fn, value.lhs, value.rhs)
        if value.op == "unary" and value.fn in _OPERATORS:
            return self._result(value.fn, value.value)
        if value.op == "call" and self.of(value.func) is bool:
            return self._result(bool, *value.args)
        return _UNKNOWN

    def of_attribute(self, expression: Any) -> Any:
        """The value of `x.name`, where x is an argument or an enum."""
        owner, name = self.of(expression.value), expression.attr
        if isinstance(owner, types.NamedTuple) and name in owner.fields:
            return _number_of(owner.types[owner.fields.index(name)])
        if isinstance(owner, type) and isinstance(member := getattr(owner, name, None), int):
            return member
        return _UNKNOWN

    def _result(self, function: Any, *operands: Any) -> Any:
        values = [self.of(operand) for operand in operands]
        return function(*values) if all(isinstance(value, int) for value in values) else _UNKNOWN

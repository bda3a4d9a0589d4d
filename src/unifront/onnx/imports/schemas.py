"""ONNX's own definitions of operators: versions, defaults of attributes, what is admitted, bodies of functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import onnx
from onnx import defs

from unifront.errors import FileFormatError
from unifront.ir.dims import DimExpr
from unifront.onnx.imports.naming import shown
from unifront.onnx.imports.node import NEEDED
from unifront.onnx.imports.values import STRING, Narrow, Parts, Value, element_of, is_strings
from unifront.opset.tensor import type_of

DOMAINS = ("", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training")


@cache
def schema_of(op_type: str, version: int, domain: str) -> Any:
    """The newest definition of an operator up to ``version``; None where ONNX has none."""
    try:
        return defs.get_schema(op_type, version, domain)
    except defs.SchemaError:
        return None


@cache
def _newest() -> Mapping[str, int]:
    found: dict[str, int] = {}
    for schema in defs.get_all_schemas_with_history():
        found[schema.domain] = max(schema.since_version, found.get(schema.domain, 0))
    return found


def newest(domain: str) -> int | None:
    """The newest version of an operator set that the package ``onnx`` knows."""
    return _newest().get(domain)


def check(schema: Any, proto: Any, given: Mapping[str, Any], label: str) -> None:
    """Raise `FileFormatError` for a node that its definition does not admit."""
    for name, attribute in given.items():
        wanted = schema.attributes.get(name)
        if wanted is None:
            raise FileFormatError(f"{label}: it has the attribute {shown(name)}, which the operator has not")
        if int(wanted.type.value) != attribute.type:
            raise FileFormatError(
                f"{label}: its attribute {shown(name)} is of another type than the operator's"
            )
    missing = [name for name, one in schema.attributes.items() if one.required and name not in given]
    if missing:
        raise FileFormatError(f"{label}: it lacks the attribute {missing[0]!r}")
    if not schema.min_input <= len(proto.input) <= schema.max_input:
        raise FileFormatError(
            f"{label}: it has {len(proto.input)} operands; the operator takes {schema.min_input} to {schema.max_input}"
        )
    if len(proto.output) > schema.max_output:
        raise FileFormatError(
            f"{label}: it has {len(proto.output)} results; the operator gives {schema.max_output}"
        )


@cache
def _defaults(op_type: str, version: int, domain: str) -> dict[str, Any]:
    schema = schema_of(op_type, version, domain)
    return {name: one.default_value for name, one in schema.attributes.items() if one.default_value.type}


def defaults_of(schema: Any) -> dict[str, Any]:
    """The attributes that have a default, as ``AttributeProto``."""
    return _defaults(schema.name, schema.since_version, schema.domain)


def default_values(schema: Any, tensors: Any) -> dict[str, Any]:
    """The attributes that have a default, as Python values."""
    return {name: tensors.attribute(one, schema.name) for name, one in defaults_of(schema).items()}


def completed(attributes: Mapping[str, Any], given: Mapping[str, Any], label: str) -> dict[str, Any]:
    """What is given of the attributes that a row names, and the defaults of the others; `FileFormatError` else."""
    for name, value in given.items():
        if name not in attributes:
            raise FileFormatError(f"{label}: it has the attribute {shown(name)}, which the operator has not")
        default = attributes[name]
        if default is not None and default is not NEEDED and type(value) is not type(default):
            raise FileFormatError(
                f"{label}: its attribute {shown(name)} is of another type than the operator's"
            )
    found = {**attributes, **given}
    missing = [name for name, value in found.items() if value is NEEDED]
    if missing:
        raise FileFormatError(f"{label}: it lacks the attribute {missing[0]!r}")
    return found


def body_of(
    schema: Any, proto: Any, version: int, operands: Sequence[Value], given: Mapping[str, Any]
) -> Any:
    """The ``FunctionProto`` by which ONNX defines the operator, None where it is no function."""
    if schema.has_function:
        known = [v for v in schema.function_opset_versions if v <= version]
        text = schema.get_function_with_opset_version(max(known)) if known else None
    elif schema.has_context_dependent_function:
        node = _resolved(proto, given)
        known = [v for v in schema.context_dependent_function_opset_versions if v <= version]
        types = [_type(value) for value in operands]
        text = None
        if known:
            text = schema.get_context_dependent_function_with_opset_version(
                max(known), node.SerializeToString(), [t.SerializeToString() for t in types]
            )
    else:
        return None
    return onnx.FunctionProto.FromString(text) if text else None


def _resolved(proto: Any, given: Mapping[str, Any]) -> Any:
    """A node whose attributes are none of a function's any more."""
    if not any(attribute.ref_attr_name for attribute in proto.attribute):
        return proto
    node = onnx.NodeProto()
    node.CopyFrom(proto)
    del node.attribute[:]
    for attribute in proto.attribute:
        found = given.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if found is not None:
            copied = node.attribute.add()
            copied.CopyFrom(found)
            copied.name = attribute.name
    return node


def _type(value: Value) -> Any:
    """The ``TypeProto`` of an operand."""
    proto = onnx.TypeProto()
    if value is None:
        return proto
    if isinstance(value, Parts):
        proto.sequence_type.elem_type.CopyFrom(_type(value[0] if value else None))
        return proto
    if is_strings(value):
        element, shape = STRING, value.shape
    elif isinstance(value, Narrow):
        element, shape = value.element, type_of(value.tensor).shape
    else:
        array: Any = getattr(value, "array", value)  # of sizes, of weights
        if array.dtype == object:
            element, shape = onnx.TensorProto.INT64, array.shape
        else:
            type_ = type_of(array)
            element, shape = element_of(type_.dtype), type_.shape
    proto.tensor_type.elem_type = element
    proto.tensor_type.shape.SetInParent()
    for dim in shape:
        one = proto.tensor_type.shape.dim.add()
        if isinstance(dim, DimExpr):
            one.dim_param = str(dim)
        else:
            one.dim_value = dim
    return proto

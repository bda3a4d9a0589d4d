"""Branches and loops. What a body takes from outside it reads by its name there, as ONNX allows."""

from __future__ import annotations

from unifront.onnx.writer import Row
from unifront.ops.spec import OpSpec

TABLE: dict[OpSpec, Row] = {}

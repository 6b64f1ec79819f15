"""Measurements: every figure of BENCHMARKS.md is printed by a command in this folder."""

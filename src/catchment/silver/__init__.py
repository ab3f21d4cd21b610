"""Typed, checked, de-duplicated tables that satisfy their contract."""

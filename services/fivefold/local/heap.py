"""The memory that this process has freed, given back to the system: glibc keeps it for what may come."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Give back what is free; nothing where the C library is not glibc.

    For moments at which much was freed, such as the opening of a model: ONNX Runtime needs several times what stays.
    https://man7.org/linux/man-pages/man3/malloc_trim.3.html
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))

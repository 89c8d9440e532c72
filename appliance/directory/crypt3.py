"""crypt(3) of the system's libxcrypt: bcrypt and SHA512-crypt, as Dovecot computes them.

The standard library's `crypt` module is deprecated (PEP 594). `crypt_rn` keeps its
state in a buffer of the caller, so threads do not meet.
"""

from __future__ import annotations

import ctypes
import secrets
from functools import cache
from typing import Any, Final

_DATA_BYTES: Final = 32_768
_SALT_BYTES: Final = 192
_RANDOM_BYTES: Final = 16


def salt(prefix: str, cost: int) -> str:
    """A fresh salt of the method `prefix` (`$2y$`, `$6$`) and its cost (rounds, or their logarithm)."""
    random = secrets.token_bytes(_RANDOM_BYTES)
    output = ctypes.create_string_buffer(_SALT_BYTES)
    made = _library().crypt_gensalt_rn(
        prefix.encode("ascii"), ctypes.c_ulong(cost), random, len(random), output, len(output)
    )
    if not made:
        raise ValueError(prefix)
    return output.value.decode("ascii")


def crypt(password: str, setting: str) -> str:
    """Hash by what `setting` (a salt, or a hash to compare with) says; raise ValueError if it is unfit."""
    data = ctypes.create_string_buffer(_DATA_BYTES)
    made = _library().crypt_rn(password.encode(), setting.encode("ascii", "replace"), data, len(data))
    if not made:
        raise ValueError("unfit setting")
    return str(made.decode("ascii"))


@cache
def _library() -> Any:
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt_rn.restype = ctypes.c_char_p
    library.crypt_gensalt_rn.restype = ctypes.c_char_p
    return library

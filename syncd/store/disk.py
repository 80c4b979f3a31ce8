"""What a disk refuses: no more space may pass by itself, a missing right does not."""

from __future__ import annotations

import errno

from syncd.errors import StoreError, StoreUnwritable

_PASSES = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


def refused(what: str, error: OSError, *, where: str, hint: str) -> StoreError:
    kind = StoreUnwritable if error.errno in _PASSES else StoreError
    return kind(f"{what}: {error.strerror}", code="SY0432", where=where, hint=hint)

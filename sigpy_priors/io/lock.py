"""One run at a time for each output."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where two runs are not told apart
    fcntl = None  # type: ignore[assignment]

__all__ = ["exclusive"]

# What a file system says that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def exclusive(output: str | Path) -> Iterator[None]:
    """Keep other runs from an output for the time of a ``with``.

    The lock is a hidden file beside the output. It is the system's, so that it ends
    with the process, however that ends; a file system that has no locks gives none.

    Args:
        output (str or Path): file or folder that is being written.

    Raises:
        ValueError: if another run has it.
    """
    if fcntl is None:
        yield
        return
    output = Path(output)
    path = output.with_name(f".{output.name}.lock")
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise ValueError(
                f"{output}: another run is writing it; wait for its end, or choose "
                f"another output."
            ) from None
        except OSError as e:
            if e.errno not in _NO_LOCKS:
                os.close(descriptor)
                raise
        if _is(path, descriptor):
            break
        os.close(descriptor)  # the run that had it has removed it since
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False

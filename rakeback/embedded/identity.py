"""As whom a server runs, and how its process is made to end with its keeper.

PostgreSQL refuses to run as root. Root therefore runs it in a user namespace of its own, where root's
files belong to an ordinary account: no account is made, nothing is chmodded, and a checkout below a
private folder works. Where such namespaces are blocked (many containers) an unprivileged account that
exists takes over, which must be able to reach the program and the data.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rakeback.embedded.home import SERVER_ACCOUNTS, EmbeddedError

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
# Set to "account" to use the second way even where namespaces work.
CHOICE_VARIABLE = "RAKEBACK_EMBEDDED_ROOT_VIA"


@dataclass(frozen=True)
class Identity:
    """Who runs a server: this account itself, a user namespace, or another account.

    ``namespace_uid`` and ``account`` are None for the ways not taken.
    """

    namespace_uid: int | None = None
    account: pwd.struct_passwd | None = None

    def own(self, folder: Path) -> None:
        """Give a folder to the account that runs the server, where that is another one."""
        if self.account is not None:
            os.chown(folder, self.account.pw_uid, self.account.pw_gid)


def choose_identity(program: Path, folders: list[Path]) -> Identity:
    """Decide who runs a server that refuses root.

    :param program: the server's program, which that account must be able to run.
    :param folders: existing folders that it must be able to reach.
    :raises EmbeddedError: when no way is open.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Identity()
    namespaced = Identity(namespace_uid=_any_ordinary_uid())
    if os.environ.get(CHOICE_VARIABLE) != "account" and _probe(namespaced, lambda: True) is None:
        return namespaced
    if os.geteuid() != 0:
        # initdb asks for the account's name; it will say so itself.
        return Identity()
    for name in SERVER_ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        for folder in folders:
            # Passing through is enough; what lies inside stays private.
            folder.chmod(folder.stat().st_mode | 0o011)
        unprivileged = Identity(account=account)
        blocked = _probe(
            unprivileged,
            lambda: os.access(program, os.X_OK) and all(os.access(folder, os.X_OK) for folder in folders),
        )
        if blocked is None:
            return unprivileged
    raise EmbeddedError(
        "PostgreSQL refuses to run as root, and this machine blocks user namespaces and has no other account "
        f"that can reach both {program} and {folders[0]}. Run Rakeback as an ordinary user, or set "
        "DATABASE_URL, or put the checkout and RAKEBACK_HOME where everybody may pass, for instance "
        "RAKEBACK_HOME=/var/lib/rakeback."
    )


def entering(identity: Identity, end_signal: signal.Signals) -> Callable[[], None]:
    """Return what a new process runs before its program: take the identity, end with its parent.

    :param end_signal: what the kernel sends it when the parent dies (Linux only).
    """
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def enter() -> None:
        _take(identity, libc)
        if libc is not None:
            # After the namespace and the change of account, both of which clear it.
            libc.prctl(_PR_SET_PDEATHSIG, int(end_signal), 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

    return enter


def _take(identity: Identity, libc: ctypes.CDLL | None) -> None:
    if identity.account is not None:
        os.setgroups([])
        os.setgid(identity.account.pw_gid)
        os.setuid(identity.account.pw_uid)
    elif identity.namespace_uid is not None:
        uid, gid = os.geteuid(), os.getegid()
        if libc is None or libc.unshare(_CLONE_NEWUSER) != 0:
            raise OSError(ctypes.get_errno(), "user namespaces are blocked")
        for name, text in (
            ("uid_map", f"{identity.namespace_uid} {uid} 1"),
            ("setgroups", "deny"),
            ("gid_map", f"{identity.namespace_uid} {gid} 1"),
        ):
            handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
            os.write(handle, text.encode())
            os.close(handle)


def _probe(identity: Identity, check: Callable[[], bool]) -> str | None:
    """Try an identity in a process of its own; None means that it works."""
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    child = os.fork()
    if child == 0:
        try:
            _take(identity, libc)
            os._exit(0 if check() else 1)
        except BaseException:  # noqa: BLE001  (the child must not return into the parent's code)
            os._exit(2)
    _, status = os.waitpid(child, 0)
    return None if status == 0 else f"status {status}"


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _any_ordinary_uid() -> int:
    # initdb asks for the name of its account, so it must be one that has a name.
    named = {account.pw_name: account.pw_uid for account in pwd.getpwall() if account.pw_uid != 0}
    for name in SERVER_ACCOUNTS:
        if name in named:
            return named[name]
    return next(iter(named.values()), 65_534)

"""Certificates for the tests on TLS, made by the `openssl` that Erlang comes with."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Identity(NamedTuple):
    """A certificate and its key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """A CA that lives as long as its folder, trusted only by those who are told to."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self.certificate, self._key = folder / f"{name}.pem", folder / f"{name}.key"
        extension = ("-addext", "basicConstraints=critical,CA:true")
        _openssl(
            "req",
            "-x509",
            *_KEY,
            "-keyout",
            self._key,
            "-out",
            self.certificate,
            *_subject(name),
            *extension,
        )

    def issue(self, name: str, *hosts: str, days: int = 2) -> Identity:
        """Issue for these hosts, `DNS:...` or `IP:...`; days=0: one that has expired."""
        certificate, key, request = (
            self._folder / f"{self._name}-{name}.{end}" for end in ("pem", "key", "csr")
        )
        alternatives = ("-addext", f"subjectAltName={','.join(hosts)}") if hosts else ()
        _openssl("req", *_KEY, "-keyout", key, "-out", request, *_subject(name), *alternatives)
        by = (
            "-CA",
            self.certificate,
            "-CAkey",
            self._key,
            "-CAcreateserial",
            "-copy_extensions",
            "copy",
        )
        _openssl("x509", "-req", "-in", request, *by, "-days", str(days), "-out", certificate)
        # OpenSSL 3.5 makes none that ends before it begins: this one ends with its second.
        while not days and _is_valid(certificate):
            time.sleep(0.05)
        return Identity(certificate, key)


def _subject(name: str) -> Sequence[str]:
    return ("-subj", f"/CN={name}")


def _is_valid(certificate: Path) -> bool:
    command = ["openssl", "x509", "-in", str(certificate), "-noout", "-checkend", "0"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}"

"""Seals on the records in XComs.

A user with edit access to a DAG can write its XComs through Airflow's API, but the tasks have rights on every report's
objects. So each record carries a message authentication code, with a key that lies in the store: only what a task of
the same run wrote for the same purpose is opened.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, TypeVar

from pydantic import Field

from quire.errors import DefinitionError, IntegrityError
from quire.object_store import Store
from quire.object_store.commit_records import COMMIT_ATTEMPTS, find_record, write_once
from quire.records.serialization import digest, from_json, to_json
from quire.report.definition import ReportDefinition

SEALING_KEY = "keys/xcom.json"  # the object that holds it
FIELDS = ("definition", "chain", "nonce", "record")  # of a sealed record, beside its seal
SEAL = "seal"

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """The key that every task of a store seals with: 64 hexadecimal digits."""

    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Sealer:
    """Seals records of one run, and opens those that its tasks have sealed.

    Args:
        definition: the report. Every task reads its files anew: rows of one query must not be stored as another's.
        run_id: what the run is called in the store.
        store: where the key lies; it is made at first use.
    """

    def __init__(self, definition: ReportDefinition, run_id: str, *, store: Store) -> None:
        self._report, self._run_id, self._store = definition.name, run_id, store
        self._version = digest(definition.model_dump(mode="json"))

    def seal(self, purpose: str, record: Any, *, chain: str = "") -> dict[str, str]:
        """Returns a record as JSON text, which no database changes, with its seal.

        Args:
            purpose: what the record is for.
            record: of the run.
            chain: names what the record was made from: it can be opened together with that only.
        """
        text = json.dumps(to_json(record), ensure_ascii=False)
        values = (self._version, chain, secrets.token_hex(16), text)
        return {**dict(zip(FIELDS, values, strict=True)), SEAL: self._code(purpose, values)}

    def open(
        self, purpose: str, kind: type[Record], sealed: Any, *, chain: str | None = "", any_version: bool = False
    ) -> Record:
        """Returns the record that a task of this run sealed for a purpose.

        Args:
            purpose: as it was sealed for.
            kind: of record.
            sealed: the value of the XCom.
            chain: as it was sealed with; None: any.
            any_version: whether the definition may have been changed since.

        Raises:
            DefinitionError: the definition was changed since.
            IntegrityError: it was not sealed so, or was changed.
            StoreRefusedError, StoreUnavailableError: the key cannot be read.
        """
        values = self._verified(purpose, sealed)
        if chain not in (None, values[1]):
            raise changed_xcom(purpose)
        return self._read(kind, values, any_version=any_version)

    def open_each(self, purpose: str, kind: type[Record], sealed: Iterable[Any], *, chain: str) -> list[Record]:
        """Returns the records that were sealed with a chain, and leaves out those of other chains.

        Raises:
            DefinitionError, IntegrityError, StoreRefusedError, StoreUnavailableError: as ``open`` does.
        """
        verified = [self._verified(purpose, value) for value in sealed]
        return [self._read(kind, values, any_version=False) for values in verified if values[1] == chain]

    def _read(self, kind: type[Record], values: Sequence[str], *, any_version: bool) -> Record:
        version, _, _, text = values
        if version != self._version and not any_version:
            raise DefinitionError(
                "its definition, or Quire, changed during the run: start it again", report=self._report
            )
        return from_json(kind, json.loads(text))

    def _verified(self, purpose: str, sealed: Any) -> tuple[str, ...]:
        """Returns the values of ``FIELDS`` of a record that a task of this run sealed."""
        fields = sealed if isinstance(sealed, dict) else {}
        texts = [text for name in (*FIELDS, SEAL) if isinstance(text := fields.get(name), str)]
        if len(texts) <= len(FIELDS):
            raise changed_xcom(purpose)
        *values, seal = texts
        if not hmac.compare_digest(self._code(purpose, values).encode(), seal.encode(errors="replace")):
            raise changed_xcom(purpose)
        return tuple(values)

    def _code(self, purpose: str, values: Sequence[str]) -> str:
        message = json.dumps([self._run_id, purpose, *values]).encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()

    @cached_property
    def _secret(self) -> bytes:
        for _ in range(COMMIT_ATTEMPTS):
            if key := find_record(self._store, SealingKey, SEALING_KEY):
                return key.secret.encode()
            write_once(self._store, SEALING_KEY, SealingKey(secret=secrets.token_hex(32)))
        raise IntegrityError(f"{SEALING_KEY} was there and is gone: start the run again")


def changed_xcom(purpose: str) -> IntegrityError:
    """Returns the error for an XCom that is not what its task wrote."""
    return IntegrityError(f"an XCom of this run ({purpose}) is not what its task wrote: start the run again")


def unverified_count(sealed: Any, field: str) -> int | None:
    """Counts the records of a sealed list without verifying or parsing it, for display only.

    Args:
        sealed: the value of an XCom.
        field: of text, which each record has once, and nothing inside it.
    """
    text = sealed.get("record") if isinstance(sealed, dict) else None
    return text.count(f'"{field}": "') if isinstance(text, str) else None

"""Seals the records in XComs.

A user with edit access to a DAG can write the DAG's XComs through Airflow's API. The DAG's tasks, however, can access
every report's objects. Each record therefore contains a message authentication code whose key is in the store. A task
opens only records that a task in the same run has sealed for the same purpose.
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
from quire.record_types.serialization import digest, from_json, to_json
from quire.report.definition import ReportDefinition

SEALING_KEY = "keys/xcom.json"  # the object that contains the key
FIELDS = ("definition", "chain", "nonce", "record")  # a sealed record's fields besides its seal
SEAL = "seal"

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """The key that all tasks share through the store. It has 64 hexadecimal digits."""

    secret: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Sealer:
    """Seals a run's records and opens records that the run's tasks have sealed.

    Args:
        definition: the report. Each task reads the report's files again, so a seal identifies the definition. Otherwise
            a task could store one query's rows as another's.
        run_id: the run's name in the store.
        store: the store that contains the key. If there is no key yet, the first use creates it.
    """

    def __init__(self, definition: ReportDefinition, run_id: str, *, store: Store) -> None:
        self._report, self._run_id, self._store = definition.name, run_id, store
        self._version = digest(definition.model_dump(mode="json"))

    def seal(self, purpose: str, record: Any, *, chain: str = "") -> dict[str, str]:
        """Returns a record as JSON text, which databases store unchanged, together with its seal.

        Args:
            purpose: the record's purpose.
            record: a record from the run.
            chain: the seal of the record from which this record was derived.
        """
        text = json.dumps(to_json(record), ensure_ascii=False)
        values = (self._version, chain, secrets.token_hex(16), text)
        return {**dict(zip(FIELDS, values, strict=True)), SEAL: self._code(purpose, values)}

    def open(
        self, purpose: str, kind: type[Record], sealed: Any, *, chain: str | None = "", any_version: bool = False
    ) -> Record:
        """Returns the record that a task in this run sealed for the given purpose.

        Args:
            purpose: the record's purpose.
            kind: the record's type.
            sealed: the XCom's value.
            chain: the seal of the record from which this record was derived, or None to accept any seal.
            any_version: whether to accept a record that was sealed with a different version of the definition.

        Raises:
            DefinitionError: the definition has changed since the record was sealed.
            IntegrityError: no task sealed the record with these arguments, or the record has been changed.
            StoreRefusedError, StoreUnavailableError: the key cannot be read.
        """
        values = self._verify(purpose, sealed)
        if chain not in (None, values[1]):
            raise changed_xcom(purpose)
        return self._read(kind, values, any_version=any_version)

    def open_each(self, purpose: str, kind: type[Record], sealed: Iterable[Any], *, chain: str) -> list[Record]:
        """Returns the records that were sealed with the given chain, and ignores records from other chains.

        Raises:
            DefinitionError, IntegrityError, StoreRefusedError, StoreUnavailableError: see ``open``.
        """
        verified = [self._verify(purpose, value) for value in sealed]
        return [self._read(kind, values, any_version=False) for values in verified if values[1] == chain]

    def _read(self, kind: type[Record], values: Sequence[str], *, any_version: bool) -> Record:
        version, _, _, text = values
        if version != self._version and not any_version:
            raise DefinitionError(
                "the definition or Quire changed during the run: start the run again", report=self._report
            )
        return from_json(kind, json.loads(text))

    def _verify(self, purpose: str, sealed: Any) -> tuple[str, ...]:
        """Checks a record's seal and returns the values of its ``FIELDS``."""
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
        raise IntegrityError(f"{SEALING_KEY} was deleted while a task was reading it: start the run again")


def changed_xcom(purpose: str) -> IntegrityError:
    """Returns the error for an XCom whose value differs from the value that its task wrote."""
    return IntegrityError(f"an XCom in this run ({purpose}) is not what its task wrote: start the run again")


def unverified_count(sealed: Any, field: str) -> int | None:
    """Counts the records in a sealed list for display, without verifying or parsing the list.

    Args:
        sealed: an XCom's value.
        field: the name of a string field that each record contains exactly once, at any level.
    """
    text = sealed.get("record") if isinstance(sealed, dict) else None
    return text.count(f'"{field}": "') if isinstance(text, str) else None

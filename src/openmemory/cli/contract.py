"""Convert fields of the public contract to the service's values, with the contract's own checks."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from openmemory import wire
from openmemory.core.memory import Asked, Told
from openmemory.errors import Malformed
from openmemory.server import encoding
from openmemory.server.misspelt import misnamed
from openmemory.server.problems import field_errors

Request = TypeVar("Request", bound=BaseModel)


def read_told(fields: Mapping[str, object]) -> Told:
    """Return the memory in the fields of POST /memory/add; raises Malformed."""
    for error in misnamed([fields], wire.AddRequest).values():
        raise error
    return encoding.told(_read(wire.AddRequest, fields))


def read_asked(fields: Mapping[str, object]) -> Asked:
    """Return the question in the fields of POST /memory/query; raises Malformed, Unprocessable."""
    return encoding.asked(_read(wire.QueryRequest, fields))


def _read(kind: type[Request], fields: Mapping[str, object]) -> Request:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        wrong = field_errors(error.errors())
        raise Malformed("; ".join(f"{one.field}: {one.message}" for one in wrong[:5]), wrong) from error

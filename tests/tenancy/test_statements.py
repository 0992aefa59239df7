"""The second wall: every statement on a tenant's table names the tenant itself, beside row-level security."""

import re
from importlib.resources import files

import pytest

from openmemory.postgres.statements import Names

_TENANT_TABLES = ("users", "memories", "vectors", "waypoints", "temporal_facts", "idempotency")
_OPERATORS = {"grants.sql", "migrate.sql", "protection.sql", "registry.sql", "roles.sql"}
_WITHOUT = {
    "census.visible": "counts what row-level security alone shows",
    "beside.tenants": "names the tenants that have memories to the owner, who opens a transaction for each of them",
}

_BLOCK = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_READ = re.compile(rf"\b(?:FROM|JOIN|UPDATE)\s+\{{(?:{'|'.join(_TENANT_TABLES)})\}}")
_WRITTEN = re.compile(rf"\bINSERT INTO \{{(?:{'|'.join(_TENANT_TABLES)})\}}")
_BOUND = re.compile(r"\btenant_id = %\(tenant\)s")


def _statements() -> dict[str, str]:
    found = dict[str, str]()
    for file in files("openmemory.postgres").iterdir():
        if file.name.endswith(".sql") and file.name not in _OPERATORS:
            _, *parts = _BLOCK.split(file.read_text(encoding="utf-8"))
            names = (f"{file.name.removesuffix('.sql')}.{name}" for name in parts[::2])
            found |= dict(zip(names, parts[1::2], strict=True))
    return found


STATEMENTS = _statements()


def test_the_tables_looked_for_are_those_there_are() -> None:
    assert {Names().render(f"{{{table}}}").split(".")[1].strip('"') for table in _TENANT_TABLES} == set(
        Names().tenant_tables
    )


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - _WITHOUT.keys()))
def test_every_table_of_a_statement_is_narrowed_to_the_tenant(name: str) -> None:
    text = STATEMENTS[name]

    assert len(_BOUND.findall(text)) >= len(_READ.findall(text)), f"{name} reads rows without naming the tenant"
    if _WRITTEN.search(text):
        assert "%(tenant)s" in text


@pytest.mark.parametrize("file", sorted(_OPERATORS - {"grants.sql"}))
def test_the_operators_statements_touch_no_tenants_table(file: str) -> None:
    text = (files("openmemory.postgres") / file).read_text(encoding="utf-8")

    assert not _READ.search(text)
    assert not _WRITTEN.search(text)

"""Old facts of one id: two where their tenants are, else named before anything is done."""

import re

from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.databases import Place
from tests.upgrade.test_odd_values import FACTS


def test_one_fact_in_two_writings_of_its_id_is_named_before_anything_is_done(owner: Home, old: Place) -> None:
    fact = "INSERT INTO temporal_facts VALUES (%s, 'Ada', 'lives in', 'Lisbon', %s, NULL, 1, 1, '{}')"
    with old.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute(fact, ["AAAAAAAA-0000-4000-8000-000000000000", 1])
        connection.execute(fact, ["aaaaaaaa000040008000000000000000", 2])
        connection.execute(fact, ["another", 3])

    for answer in ("--dry-run", "--yes"):
        said = words(owner.run("migrate", answer))

        assert re.search(
            "1 ids of facts are there more than once, such as [Aa]{8}[^:]*: the same id, if in another", said
        )
    with old.owner() as connection:
        connection.execute("DELETE FROM temporal_facts WHERE id LIKE 'A%%'")
    assert owner.run("migrate", "--yes").status == 0


def test_facts_of_one_id_in_two_tenants_are_two(owner: Home, old: Place) -> None:
    with old.owner() as connection:
        connection.execute(FACTS.encode())
        connection.execute("ALTER TABLE temporal_facts ADD tenant_id text, DROP CONSTRAINT temporal_facts_pkey")
        for number, tenant in enumerate(("acme", "globex")):
            fact = "INSERT INTO temporal_facts VALUES ('f', 'Ada', 'is', 'kind', %s, NULL, 1, 1, '{}', %s)"
            connection.execute(fact, [number, tenant])

    assert owner.run("migrate", "--yes").status == 0

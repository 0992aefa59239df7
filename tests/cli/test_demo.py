"""The demo, and what it takes for proof."""

import pytest

from openmemory.app import Logins
from openmemory.cli.demo.performance import Read, proves, reads_of
from openmemory.postgres import census
from openmemory.postgres.statements import Names
from tests.cli.homes import Home

PLAN = (
    "Aggregate (actual rows=1.00 loops=1)",
    "  ->  Result (actual rows=1.00 loops=1)",
    "        One-Time Filter: (current_setting('app.current_tenant'::text, true) = 'a'::text)",
    "        ->  Index Only Scan using openmemory_vectors_search on openmemory_vectors (actual rows=20.00 loops=1)",
    "              Index Cond: (tenant_id = 'a'::text)",
    "              Heap Fetches: 20",
)


def test_a_scan_is_read_from_postgresqls_plan() -> None:
    (read,) = reads_of(PLAN)

    assert (read.condition, read.rows) == ("tenant_id = 'a'::text", 20)
    assert read.line.startswith("Index Only Scan using openmemory_vectors_search")


@pytest.mark.parametrize(
    "read",
    [
        Read("Seq Scan on openmemory_vectors", "", 20),
        Read("Index Scan using x on openmemory_vectors", "seq > 5", 20),
        Read("Index Scan using x on openmemory_vectors", "tenant_id = 'a'::text", 21),
    ],
)
def test_a_scan_of_more_than_the_tenant_is_no_proof(read: Read) -> None:
    assert not proves([read], own_rows=20)


def test_no_scan_is_no_proof() -> None:
    assert not proves([], own_rows=20)


def test_a_sequential_scan_is_seen() -> None:
    (read,) = reads_of(("Seq Scan on openmemory_vectors (actual rows=42 loops=1)", "  Filter: (tenant_id = 'a')"))

    assert not proves([read], own_rows=42)


def test_a_login_that_may_not_see_all_tenants_counts_none(logins: Logins, names: Names) -> None:
    assert census.in_all(logins.server, names) is None
    assert census.in_all(logins.owner, names) is not None


def test_the_demo_needs_nothing_leaks_nothing_and_leaves_nothing(shared_home: Home) -> None:
    ran = shared_home.with_settings(COLUMNS="60").spawn("demo")

    assert ran.status == 0, ran.err
    assert "zero leaks in 8 answers" in ran.out
    assert ran.out.count("not found") == 2
    for said in ("12 May", "9 June", "crema-and-copper-41", "gullwing-seven-lanterns", "hazelnuts", "shellfish"):
        assert said in ran.out
    assert max(map(len, ran.out.splitlines())) <= 60
    assert "\x1b" not in ran.out
    assert ran.err == ""


def test_the_demos_tenants_are_gone_afterwards_unless_kept(shared_home: Home) -> None:
    kept = shared_home.run("demo", "--keep", "--json")
    gone = shared_home.run("demo", "--json")

    assert (kept.json["leaks"], gone.json["leaks"]) == (0, 0)
    for ran, each in ((kept, [20, 22]), (gone, [0, 0])):
        tenants = [one["tenant"] for one in ran.json["tenants"].values()]
        assert [shared_home.run("stats", "--tenant", one, "--json").json["memories"] for one in tenants] == each
        assert all(read["rows"] in {20, 22} for answer in ran.json["answers"] for read in answer["reads"])
    for tenant in kept.json["tenants"].values():
        assert shared_home.run("delete", "--tenant", tenant["tenant"], "--user", "team", "--yes").status == 0

"""Backups brought back where tables refer to those that are replaced: whole, or nothing changes."""

from pathlib import Path

import pytest
from psycopg import errors

from openmemory.errors import ConfigurationError
from openmemory.postgres.backup import Archive, dump, our_tables, ours_of, read, restore
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from openmemory.postgres.upgrade.way_back import down
from tests.postgres.databases import Place
from tests.postgres.dumps import NEW, count, run
from tests.upgrade.shapes import reshape

EDGES = "temporal facts and edges that refer to them"
NOTES = (
    "CREATE TABLE notes (id int PRIMARY KEY, memory_id uuid CONSTRAINT of_memory REFERENCES openmemory_memories (id))",
    "INSERT INTO notes SELECT row_number() OVER (), id FROM openmemory_memories",
)
UNDO_NOTES = "ALTER TABLE public.notes DROP CONSTRAINT of_memory;"
REDO_NOTES = (
    "ALTER TABLE public.notes ADD CONSTRAINT of_memory FOREIGN KEY (memory_id)"
    " REFERENCES public.openmemory_memories(id);"
)
WHOLE_OVER = {
    "old": (),
    "begun": STEPS[:1],
    "half": STEPS[:3],
    "done": STEPS,
}


@pytest.fixture
def with_edges(old: Place) -> Place:
    """Return an old database with facts, and edges with two foreign keys to them."""
    with old.owner() as connection:
        reshape(connection, EDGES)
    run(old, *NOTES)
    return old


@pytest.mark.parametrize("steps", WHOLE_OVER.values(), ids=WHOLE_OVER)
def test_tables_that_refer_to_others_come_back_with_them(
    with_edges: Place, tmp_path: Path, steps: tuple[str, ...]
) -> None:
    before = keys_of(with_edges)
    rows = dump(with_edges.logins.owner, tmp_path / "b.dump", NEW)
    for step in steps:
        upgrade(with_edges.logins.owner, with_edges.names, Plan(dimension=1536), only=step)

    assert bring_back(with_edges, tmp_path / "b.dump") == rows

    assert rows["public.temporal_edges"] == 1
    assert keys_of(with_edges) == before
    assert count(with_edges, "notes") == count(with_edges, "openmemory_memories") == 568


def test_tables_that_refer_to_others_come_back_after_the_way_back(with_edges: Place, tmp_path: Path) -> None:
    owner, before = with_edges.logins.owner, keys_of(with_edges)
    rows = dump(owner, tmp_path / "b.dump", NEW)
    upgrade(owner, with_edges.names, Plan(dimension=1536))
    down(owner, with_edges.names)

    assert bring_back(with_edges, tmp_path / "b.dump") == rows

    assert keys_of(with_edges) == before


def test_a_reference_that_is_newer_than_the_backup_goes_with_its_table(old: Place, tmp_path: Path) -> None:
    run(old, "CREATE TABLE notes (memory_id uuid)")
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, "ALTER TABLE notes ADD FOREIGN KEY (memory_id) REFERENCES openmemory_memories (id)")

    bring_back(old, tmp_path / "b.dump")

    assert keys_of(old) == []


def test_what_an_owner_made_of_the_tables_and_is_in_the_file_comes_back(old: Place, tmp_path: Path) -> None:
    run(
        old,
        "CREATE VIEW mine AS SELECT id, user_id FROM openmemory_memories",
        "CREATE VIEW later AS SELECT 1 AS n",
        "CREATE OR REPLACE VIEW later AS SELECT 1 AS n",
        "CREATE MATERIALIZED VIEW counted AS SELECT user_id, count(*) AS n FROM mine GROUP BY user_id",
        "CREATE FUNCTION first_of(openmemory_memories, character varying) RETURNS SETOF mine LANGUAGE sql"
        " AS 'SELECT * FROM public.mine LIMIT 1'",
        "CREATE VIEW called AS SELECT first_of(m, 'x') FROM openmemory_memories AS m",
        "CREATE OR REPLACE VIEW later AS SELECT 1 AS n, c AS called FROM called AS c",
        "CREATE TABLE parts (id uuid REFERENCES openmemory_memories (id)) PARTITION BY HASH (id)",
        "CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "INSERT INTO parts SELECT id FROM openmemory_memories",
        "CREATE TABLE heir () INHERITS (openmemory_memories)",
        "CREATE TABLE log (id uuid, whole openmemory_memories)",
        "CREATE RULE logged AS ON INSERT TO log DO ALSO UPDATE openmemory_memories SET user_id = 'x' WHERE false",
    )
    before = keys_of(old)
    rows = dump(old.logins.owner, tmp_path / "b.dump", NEW)

    assert bring_back(old, tmp_path / "b.dump") == rows

    assert keys_of(old) == before
    assert count(old, "later") == count(old, "mine") == count(old, "parts") == 568
    with old.owner() as connection:
        assert connection.execute("SELECT sum(n) FROM counted").fetchone() == (568,)
        assert connection.execute("SELECT FROM pg_rules WHERE rulename = 'logged'").rowcount == 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("CREATE TABLE notes (id uuid CONSTRAINT of_memory REFERENCES openmemory_memories (id))", UNDO_NOTES),
        ('CREATE VIEW "my own" AS SELECT id FROM openmemory_memories', 'DROP VIEW public."my own";'),
        ("CREATE MATERIALIZED VIEW seen AS SELECT id FROM stats", "DROP MATERIALIZED VIEW public.seen;"),
        (
            "CREATE FUNCTION f(stats, text) RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "DROP FUNCTION public.f(public.stats,pg_catalog.text);",
        ),
        (
            "CREATE TABLE heir () INHERITS (stats)",
            "ALTER TABLE public.heir ALTER id DROP DEFAULT; ALTER TABLE public.heir NO INHERIT public.stats;",
        ),
        ("CREATE TABLE log (whole stats)", "ALTER TABLE public.log DROP whole;"),
        (
            "CREATE TABLE log (); CREATE RULE r AS ON DELETE TO log DO ALSO DELETE FROM stats",
            "DROP RULE r ON public.log;",
        ),
        (
            "CREATE TABLE log (); CREATE POLICY p ON log USING (EXISTS (SELECT FROM stats))",
            "DROP POLICY p ON public.log;",
        ),
        (
            "ALTER TABLE stats ADD made serial; CREATE TABLE log (n int DEFAULT nextval('stats_made_seq'))",
            "ALTER TABLE public.log ALTER n DROP DEFAULT;",
        ),
        (
            "CREATE TABLE parts (id uuid CONSTRAINT k REFERENCES openmemory_memories (id)) PARTITION BY HASH (id);"
            "CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "ALTER TABLE public.parts DROP CONSTRAINT k;",
        ),
    ],
    ids=["key", "view", "materialized", "function", "heir", "column", "rule", "policy", "default", "partitions"],
)
def test_what_the_file_does_not_bring_back_is_kept_and_the_statement_is_said(
    old: Place, tmp_path: Path, made: str, said: str
) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, made)

    with pytest.raises(ConfigurationError, match="nothing was restored: these stand on") as refused:
        bring_back(old, tmp_path / "b.dump")

    drop = str(refused.value).partition("restore again: ")[2].partition(" Make the foreign keys")[0]
    assert drop.upper() == said.upper()
    run(old, drop)
    bring_back(old, tmp_path / "b.dump")


def test_a_key_that_the_file_does_not_bring_back_is_made_again_as_the_refusal_says(old: Place, tmp_path: Path) -> None:
    dump(old.logins.owner, tmp_path / "b.dump", NEW)
    run(old, *NOTES)
    before = keys_of(old)

    with pytest.raises(ConfigurationError) as refused:
        bring_back(old, tmp_path / "b.dump")

    assert keys_of(old) == before
    assert f"restore again: {UNDO_NOTES} Make the foreign keys again afterwards: {REDO_NOTES}" in str(refused.value)
    run(old, UNDO_NOTES)
    bring_back(old, tmp_path / "b.dump")
    run(old, REDO_NOTES)
    assert keys_of(old) == before
    assert count(old, "notes") == 568


@pytest.mark.parametrize("is_whole", [True, False], ids=["of-a-whole-backup", "of-a-backup-of-them"])
def test_our_tables_alone_come_back_once_the_keys_of_others_are_taken_away(
    with_edges: Place, tmp_path: Path, is_whole: bool
) -> None:
    owner, file = with_edges.logins.owner, tmp_path / "b.dump"
    before = keys_of(with_edges)
    dump(owner, file, NEW, None if is_whole else our_tables(owner, with_edges.names))
    ours = ours_of(read(file, NEW), with_edges.names)

    with pytest.raises(ConfigurationError) as refused:
        bring_back(with_edges, file, ours)

    drop, again = str(refused.value).partition("restore again: ")[2].split(" Make the foreign keys again afterwards: ")
    assert drop.count("temporal_edges DROP CONSTRAINT") == 2
    run(with_edges, drop)
    bring_back(with_edges, file, ours)
    run(with_edges, again)
    assert keys_of(with_edges) == before
    assert count(with_edges, "temporal_edges") == 1
    with pytest.raises(errors.ForeignKeyViolation):
        run(with_edges, "DELETE FROM temporal_facts")


def bring_back(place: Place, file: Path, archive: Archive | None = None) -> dict[str, int]:
    """Restore a file over what is there."""
    return dict(restore(place.logins.owner, file, NEW, names=place.names, replace=True, archive=archive))


def keys_of(place: Place) -> list[tuple[str, str]]:
    """Return the foreign keys of a database, as SQL."""
    query = "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'"
    with place.owner() as connection:
        return sorted((str(table), str(key)) for table, key in connection.execute(query))

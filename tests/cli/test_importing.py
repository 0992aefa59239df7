"""`import sqlite`: upstream's default store into one tenant, bit for bit, and nothing the second time."""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from openmemory.postgres.locks import Lock, the_only_one
from tests.cli.homes import Home
from tests.cli.old_owners import words
from tests.postgres.databases import Place
from tests.upgrade.old_databases import dsn

TABLES = ("memories", "vectors", "waypoints", "users")


@pytest.fixture
def file(shared: Path, tmp_path: Path) -> Path:
    """Return the recorded file, unpacked."""
    unpacked = tmp_path / "openmemory.sqlite"
    unpacked.write_bytes(gzip.decompress((shared / "legacy" / "legacy-pre.sqlite.gz").read_bytes()))
    return unpacked


@pytest.fixture
def bare(place: Place, shared_home: Home) -> Home:
    """Return the settings of a server that embeds nothing, on that database."""
    return shared_home.with_settings(
        OM_PG_DSN=dsn(place), OM_PG_APP_ROLE=place.names.app_role, OM_EMBEDDINGS="none", OM_VEC_DIM="1536"
    )


def counted(file: Path) -> dict[str, int]:
    """Return the rows of the file's tables."""
    with closing(sqlite3.connect(file)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def digest(place: Place) -> list[tuple[object, ...]]:
    """Return every row of the tables, with the place it has on disk: what was written again would have moved."""
    rows: list[tuple[object, ...]] = []
    with place.owner() as connection:
        for table in (*(f"openmemory_{name}" for name in TABLES), "temporal_facts"):
            digested = "md5(string_agg(t.ctid::text || t::text, '|' ORDER BY t.ctid))"
            query = f"SELECT '{table}', count(*), {digested} FROM {table} t"
            rows += connection.execute(query.encode()).fetchall()
    return rows


def test_vectors_that_no_model_made_are_told_and_taken_for_a_models_only_with_a_warning(bare: Home, file: Path) -> None:
    chosen = {"OM_EMBEDDINGS": "openai", "OM_EMBED_MODEL": "small", "OM_OPENAI_API_KEY": "a-key"}
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--dry-run")

    plain = bare.with_settings(**chosen).run(*arguments)
    named = bare.with_settings(**chosen).run(*arguments, "--embedding-model", "openai:small")

    for ran in (plain, named):
        assert ran.status == 0, ran.err
        assert "of 80 vectors looked at: zeros stand among their numbers" in words(ran)
    assert "warning: --embedding-model" not in words(plain)
    assert "warning: --embedding-model openai:small: no model made" in words(named)


def test_all_of_it_comes_across_bit_for_bit_and_nothing_is_changed_the_second_time(
    bare: Home, place: Place, file: Path
) -> None:
    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")
    assert ran.status == 0, ran.err
    rows = counted(file)
    assert ran.json["added"]["memories"] == rows["memories"]
    with place.owner() as connection:
        found = connection.execute(
            "SELECT id::text, sector, embedding::real[] FROM openmemory_vectors WHERE embedding IS NOT NULL"
        ).fetchall()
        for table in TABLES:
            query = f"SELECT count(*) FROM openmemory_{table} WHERE tenant_id = 'acme'"
            assert (connection.execute(query.encode()).fetchone() or (0,))[0] >= rows[table], table
        facts = connection.execute("SELECT count(*) FROM temporal_facts WHERE tenant_id = 'acme'").fetchone()
        beside = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^openmemory_'").fetchall()
    assert facts == (46,)
    assert beside == []
    with closing(sqlite3.connect(file)) as connection:
        old = {(row[0], row[1]): row[2] for row in connection.execute("SELECT id, sector, v FROM vectors")}
    assert len(found) == len(old) == rows["vectors"]
    assert all(np.array(vector, "<f4").tobytes() == old[id_, sector] for id_, sector, vector in found)

    before = digest(place)
    again = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")
    assert again.json["added"] == {"users": 0, "memories": 0, "waypoints": 0, "temporal_facts": 0}
    assert {table: (held["same"], held["contradicting"]) for table, held in again.json["already"].items()} == {
        table: (count, 0) for table, count in ran.json["added"].items()
    }
    assert digest(place) == before


def test_a_newer_file_whose_table_of_vectors_has_another_name_comes_across_too(
    bare: Home, place: Place, file: Path
) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("ALTER TABLE vectors RENAME TO openmemory_vectors")

    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")

    assert ran.status == 0, ran.err
    with place.owner() as connection:
        found = connection.execute("SELECT count(*) FROM openmemory_vectors WHERE embedding IS NOT NULL").fetchone()
    assert found == (555,)


def test_values_that_are_not_of_their_columns_type_are_kept_in_the_metadata(
    bare: Home, place: Place, file: Path
) -> None:
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        ids = [row[0] for row in upstreams.execute("SELECT id FROM memories ORDER BY id LIMIT 4")]
        for id_, change in zip(
            ids,
            (
                "salience = 'text', version = 3.7, meta = '{\"openmemory_old\": 1, \"a\": 2}'",
                "content = CAST(x'61ff62' AS TEXT), meta = 'no JSON'",
                "created_at = 1e30, salience = '0.5'",
                "content = 'a' || char(0) || 'b', meta = NULL, tags = x'5b5d'",
            ),
            strict=True,
        ):
            upstreams.execute(f"UPDATE memories SET {change} WHERE id = ?", [id_])
        upstreams.execute("UPDATE waypoints SET weight = 'heavy' WHERE src_id = (SELECT min(src_id) FROM waypoints)")
        fact = upstreams.execute("SELECT min(id) FROM temporal_facts").fetchone()[0]
        upstreams.execute("UPDATE temporal_facts SET last_updated = 'now', metadata = '{}' WHERE id = ?", [fact])

    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["replaced"]["waypoints"] > 0
    assert set(ran.json["replaced"]) == {"waypoints"}
    with place.owner() as connection:
        query = "SELECT content, metadata FROM openmemory_memories WHERE id = %s"
        found: list[Any] = [connection.execute(query, [id_]).fetchone() for id_ in ids]
        facts = connection.execute("SELECT metadata FROM temporal_facts WHERE metadata ? 'openmemory_old'").fetchall()
    notes = [metadata["openmemory_old"] for _, metadata in found]
    assert (found[0][1]["a"], notes[0]["salience"], notes[0]["version"], notes[0]["openmemory_old"]) == (
        2,
        "text",
        3.7,
        1,
    )
    assert (found[1][0], notes[1]["content"], notes[1]["meta"]) == ("a\ufffdb", "x'61ff62'", "no JSON")
    assert notes[2]["created_at"] == 10**30
    assert "salience" not in notes[2]
    assert (found[3][0], notes[3]["content"]) == ("a\ufffdb", "x'610062'")
    assert "tags" not in notes[3]
    assert "now" in [metadata["openmemory_old"].get("last_updated") for (metadata,) in facts]


def test_rows_without_a_key_and_numbers_that_are_too_large_stop_nothing(bare: Home, place: Place, file: Path) -> None:
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        upstreams.execute("UPDATE memories SET version = 9000000000 WHERE id = (SELECT min(id) FROM memories)")
        upstreams.execute("UPDATE users SET reflection_count = 9000000000")
        upstreams.execute("UPDATE vectors SET dim = 9000000000 WHERE id = (SELECT min(id) FROM vectors)")
        upstreams.execute("UPDATE waypoints SET src_id = NULL WHERE src_id = (SELECT min(src_id) FROM waypoints)")
        upstreams.execute("UPDATE temporal_facts SET id = NULL WHERE id = (SELECT min(id) FROM temporal_facts)")
        upstreams.execute("INSERT INTO memories (id, content, primary_sector) VALUES (NULL, 'nobody', 'semantic')")
    held = counted(file)

    looked = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--dry-run")
    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes", "--json")

    assert "1 rows of memories without an id" in " ".join(looked.out.split())
    assert ran.status == 0, ran.err
    assert ran.json["added"]["memories"] == held["memories"] - 1
    assert ran.json["without_key"] == {"memories": 1, "temporal_facts": 1}
    with place.owner() as connection:
        noted = "SELECT metadata -> 'openmemory_old' -> 'version' AS version FROM openmemory_memories"
        query = f"SELECT version FROM ({noted}) AS n WHERE version IS NOT NULL"
        assert connection.execute(query.encode()).fetchall() == [(9_000_000_000,)]


def test_ids_that_are_one_here_are_named_before_anything_is_done(bare: Home, place: Place, file: Path) -> None:
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        upstreams.execute("UPDATE memories SET id = upper((SELECT max(id) FROM memories)) WHERE id = (SELECT min(id)"
                           " FROM memories)")  # fmt: skip

    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--yes")

    assert ran.status == 1
    assert "1 ids of memories are there more than once" in ran.err.replace("\n", " ")
    with place.owner() as connection:
        assert connection.execute("SELECT to_regclass('openmemory_memories')").fetchone() == (None,)


def test_an_import_that_fails_names_its_own_way_on(bare: Home, place: Place, file: Path) -> None:
    with closing(sqlite3.connect(file)) as upstreams, upstreams:
        upstreams.execute("UPDATE users SET user_id = NULL WHERE user_id = (SELECT min(user_id) FROM users)")
    assert bare.run("migrate").status == 0
    with place.owner() as connection:
        connection.execute("ALTER TABLE openmemory_memories ADD CONSTRAINT nothing_more CHECK (content = '') NOT VALID")

    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--yes")

    assert ran.status == 1
    assert "Run the same command again" in ran.err.replace("\n", " ")
    assert "openmemory migrate" not in ran.err


def test_with_another_model_every_text_is_embedded_anew_and_only_that_tenant_finds_it(
    home: Home, place: Place, file: Path, shared_home: Home
) -> None:
    static = shared_home.with_settings(OM_PG_DSN=dsn(place), OM_PG_APP_ROLE=place.names.app_role)

    ran = static.run("import", "sqlite", str(file), "--tenant", "acme", "--yes", "--json")

    assert ran.status == 0, ran.err
    assert ran.json["embedded"] == 428
    assert not [why for why in ran.json["set_aside"] if why.startswith("vectors")]
    found = static.run("query", "which script deploys?", "--tenant", "acme", "--json").json
    assert found["matches"]
    assert static.run("query", "which script deploys?", "--tenant", "globex", "--json").json["matches"] == []
    with place.owner() as connection:
        rows = connection.execute("SELECT count(*) FROM openmemory_vectors WHERE embedding IS NULL").fetchone()
    assert rows == (0,)


def test_a_dry_run_says_what_the_file_holds(bare: Home, place: Place, file: Path) -> None:
    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--dry-run")

    assert ran.status == 0, ran.err
    assert "428 rows" in ran.out
    assert "1536: 555" in ran.out
    with place.owner() as connection:
        assert connection.execute("SELECT count(*) FROM openmemory_memories").fetchone() == (0,)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"nothing", "is no OpenMemory"), (b"x" * 5000, "cannot be read")]
)
def test_a_file_that_is_none_is_refused(bare: Home, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "odd.sqlite"
    if content == b"nothing":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE other (a)")
    elif content is not None:
        file.write_bytes(content)

    ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--yes")

    assert ran.status == 1
    assert said in ran.err.replace("\n", " ")


def test_what_was_changed_since_stays_so(bare: Home, place: Place, file: Path) -> None:
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes")
    assert bare.run(*arguments).status == 0
    with place.owner() as connection:
        connection.execute("UPDATE openmemory_memories SET content = 'mine now', version = version + 1")
        assert bare.run(*arguments).status == 0
        assert connection.execute("SELECT DISTINCT content FROM openmemory_memories").fetchall() == [("mine now",)]


def test_what_the_tenant_has_otherwise_is_counted_and_named_by_table(bare: Home, place: Place, file: Path) -> None:
    arguments = ("import", "sqlite", str(file), "--tenant", "acme", "--embedding-model", "none", "--yes")
    added = bare.run(*arguments, "--json").json["added"]
    with place.owner() as connection:
        query = "SELECT (SELECT min(id::text) FROM openmemory_memories), (SELECT min(id::text) FROM temporal_facts)"
        memory, fact = connection.execute(query).fetchone() or ("", "")
        connection.execute("UPDATE openmemory_memories SET content = 'mine now' WHERE id = %s", [memory])
        connection.execute("UPDATE temporal_facts SET id = gen_random_uuid(), object = 'tea' WHERE id = %s", [fact])
        connection.execute("UPDATE openmemory_users SET summary = 'another' WHERE user_id = 'alice'")
        connection.execute("UPDATE openmemory_waypoints SET weight = weight / 2")

    ran = bare.run(*arguments, "--json")
    told = words(bare.run(*arguments))

    assert ran.status == 0, ran.err
    already = ran.json["already"]
    waypoints = already.pop("waypoints")
    assert already == {
        table: {"same": added[table] - 1, "contradicting": 1, "first_ids": [first]}
        for table, first in (("users", "alice"), ("memories", memory), ("temporal_facts", fact))
    }
    assert (waypoints["same"], waypoints["contradicting"]) == (0, added["waypoints"])
    assert f"users: {added['users'] - 1} rows there already, the same" in told
    assert "users: 1 row left out, contradicting what is there: alice" in told
    assert (
        f"{added['waypoints']} rows left out, contradicting what is there: {', '.join(waypoints['first_ids'])}, …"
        in told
    )


def test_of_two_imports_at_once_the_second_is_refused(bare: Home, place: Place, file: Path) -> None:
    with place.owner() as other, the_only_one(other, Lock.IMPORT):
        ran = bare.run("import", "sqlite", str(file), "--tenant", "acme", "--yes")

    assert ran.status == 1
    assert "another `openmemory import` is at work" in ran.err.replace("\n", " ")

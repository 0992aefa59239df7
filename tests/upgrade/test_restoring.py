"""A backup from before the upgrade, brought back over what an upgrade made, and lifted once more."""

from pathlib import Path

import pytest

from openmemory.postgres import migrate, roles
from openmemory.postgres.backup import dump, our_tables, ours_of, read, restore
from openmemory.postgres.upgrade.plan import STEPS, Plan
from openmemory.postgres.upgrade.steps import upgrade
from tests.postgres.databases import Place
from tests.upgrade.catalogues import catalogue
from tests.upgrade.old_databases import program, verify

NAME = "legacy-pre-pgvector"
NEW = program("pg_dump")


@pytest.mark.parametrize("only_ours", [False, True], ids=["whole", "tables"])
@pytest.mark.parametrize("last", [STEPS[0], STEPS[2], None], ids=["begun", "half", "done"])
def test_the_old_tables_come_back_and_are_lifted_again(
    old: Place, shared: Path, tmp_path: Path, last: str | None, only_ours: bool
) -> None:
    owner, plan = old.logins.owner, Plan(dimension=1536)
    rows = dump(owner, tmp_path / "b.dump", NEW, our_tables(owner, old.names) if only_ours else None)
    for step in STEPS if last is None else STEPS[: STEPS.index(last) + 1]:
        upgrade(owner, old.names, plan, only=step)

    assert restore(owner, tmp_path / "b.dump", NEW, names=old.names, replace=True) == rows

    assert migrate.status(owner, old.names).is_foreign
    upgrade(owner, old.names, plan)
    said = verify(old, shared, NAME)
    assert (said["identical"], said["different"], said["missing"], said["fell"]) == (715, [], [], {})


@pytest.mark.parametrize("only_ours", [False, True], ids=["whole", "tables"])
def test_a_migrated_database_comes_back_with_its_old_tables_beside(
    old: Place, shared: Path, tmp_path: Path, only_ours: bool
) -> None:
    owner = old.logins.owner
    upgrade(owner, old.names, Plan(dimension=1536))
    rows = dump(owner, tmp_path / "b.dump", NEW, our_tables(owner, old.names) if only_ours else None)
    with old.owner() as connection:
        connection.execute("DROP SCHEMA openmemory_old_public CASCADE")
        connection.execute("DELETE FROM openmemory_vectors")

    assert restore(owner, tmp_path / "b.dump", NEW, names=old.names, replace=True) == rows

    assert rows["openmemory_old_public.openmemory_vectors"] == 715
    assert verify(old, shared, NAME)["identical"] == 715
    roles.grant(owner, old.names, old.logins.server_user)
    assert roles.check(owner, old.names, owner_serves=True)  # the warning that the owner serves, and no refusal


@pytest.mark.parametrize("is_lifted", [False, True], ids=["old", "lifted"])
def test_our_tables_come_back_out_of_a_whole_backup_as_the_whole_does(
    old: Place, tmp_path: Path, is_lifted: bool
) -> None:
    owner, file = old.logins.owner, tmp_path / "b.dump"
    if is_lifted:
        upgrade(owner, old.names, Plan(dimension=1536))
    rows = dump(owner, file, NEW)
    restore(owner, file, NEW, names=old.names, replace=True)
    with old.owner() as connection:
        expected = catalogue(connection, old.names)

    ours = restore(owner, file, NEW, names=old.names, replace=True, archive=ours_of(read(file, NEW), old.names))

    assert rows.keys() - ours.keys() == {"public.openmemory_embed_logs", "public.stats"}
    with old.owner() as connection:
        assert catalogue(connection, old.names) == expected

"""What a connection has on it when it is back in its pool: nothing."""

from psycopg.pq import TransactionStatus

from openmemory.postgres.database import Database


async def assert_clean(database: Database) -> None:
    """Fail if the connection of a pool of one still has a transaction, a role, a tenant or a setting of one."""
    async with database._pool.connection() as connection:
        assert connection.info.transaction_status == TransactionStatus.IDLE
        row = await (
            await connection.execute(
                "SELECT current_user = session_user, coalesce(current_setting('app.current_tenant', true), ''),"
                " current_setting('search_path'), current_setting('transaction_read_only')"
            )
        ).fetchone()
    assert row == (True, "", '"$user", public', "off")

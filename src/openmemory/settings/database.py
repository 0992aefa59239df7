"""Where memories are kept: the database, who logs in to it, and the names of what lies there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Field, SecretStr

from openmemory.settings.kinds import (
    AnyCase,
    DatabaseHost,
    Dsn,
    Folder,
    Identifier,
    Password,
    Role,
    Schema,
    Section,
    SslWords,
    Text,
    Unset,
    refusing,
)

SslMode: TypeAlias = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

_POSTGRES_ONLY: Final = refusing(
    "is not served: memories and vectors live in PostgreSQL. `openmemory import sqlite`"
    " brings upstream's SQLite file over; then unset this",
    lambda value: value != "postgres",
)


@dataclass(frozen=True, slots=True)
class Login:
    """What `psycopg.connect(login.dsn, **login.keywords)` takes; a keyword wins over the same part of the DSN.

    Neither shows in the repr, since either may hold a password.
    """

    dsn: str = field(default="", repr=False)
    keywords: Mapping[str, str] = field(default_factory=dict, repr=False)


class DatabaseSettings(Section):
    """The PostgreSQL server, the logins, the pool and the names of the tables."""

    data_dir: Annotated[Folder, Unset("your data folder; `/var/lib/openmemory` as root")] | None = Field(
        None,
        validation_alias="OM_DATA_DIR",
        description="Folder of the embedded PostgreSQL. It is used when neither `OM_PG_HOST` nor `OM_PG_DSN` is set."
        " A folder that root made before is left as it is, and the data lie in `openmemory` in it; where others may"
        " write to it, as to a volume in a container, name a new folder in it.",
    )
    dsn: Dsn | None = Field(
        None,
        validation_alias="OM_PG_DSN",
        description="The whole connection of the tables' owner in one string, instead of host, port, database,"
        " user and password.",
    )
    host: DatabaseHost | None = Field(
        None,
        validation_alias="OM_PG_HOST",
        description="Host of the PostgreSQL server, or the folder of its socket.",
    )
    port: int = Field(5432, ge=1, le=65535, validation_alias="OM_PG_PORT", description="Port of the PostgreSQL server.")
    db: Text = Field("openmemory", validation_alias="OM_PG_DB", description="Database to connect to.")
    user: Annotated[Text, Unset("libpq's: `PGUSER`, or the user of the process")] | None = Field(
        None,
        validation_alias="OM_PG_USER",
        description="Role that owns the tables. It migrates, and serves as well while `OM_PG_APP_USER` is not set.",
    )
    password: Annotated[Password, Unset("libpq's: `PGPASSWORD` or `~/.pgpass`")] | None = Field(
        None, validation_alias="OM_PG_PASSWORD", description="Password of `OM_PG_USER`."
    )
    ssl: Annotated[SslMode, SslWords, AnyCase, Unset("libpq's: `PGSSLMODE`, or `prefer`")] | None = Field(
        None,
        validation_alias="OM_PG_SSL",
        description="Encryption of the connection, as libpq's `sslmode`; it wins over a DSN's. `true` means"
        " `require`, `false` means `disable`. Only `verify-full` proves that the server is the right one.",
    )
    schema_name: Schema = Field("public", validation_alias="OM_PG_SCHEMA", description="Schema that holds the tables.")
    table: Identifier = Field(
        "openmemory_memories", validation_alias="OM_PG_TABLE", description="Table of the memories."
    )
    vector_table: Identifier = Field(
        "openmemory_vectors", validation_alias="OM_VECTOR_TABLE", description="Table of their vectors."
    )
    app_user: Annotated[Text, Unset("`OM_PG_USER` serves, and the start warns")] | None = Field(
        None,
        validation_alias="OM_PG_APP_USER",
        description="Role to log in as to serve. It owns no table, so that even injected SQL cannot leave"
        " row-level security behind.",
    )
    app_password: Annotated[Password, Unset("libpq's")] | None = Field(
        None, validation_alias="OM_PG_APP_PASSWORD", description="Password of `OM_PG_APP_USER`."
    )
    app_role: Role = Field(
        "openmemory_app",
        validation_alias="OM_PG_APP_ROLE",
        description="Role of every tenant's transaction: the one that row-level security binds. It owns no table.",
    )
    direct_dsn: Annotated[Dsn, Unset("the way of the other settings")] | None = Field(
        None,
        validation_alias="OM_PG_DIRECT_DSN",
        description="The owner's way to the same database past a transaction pooler, for migrations and index builds.",
    )
    pg_dump: Annotated[Text, Unset("`pg_dump` of the `PATH`, else the embedded server's")] | None = Field(
        None,
        validation_alias="OM_PG_DUMP",
        description="Path of the `pg_dump` that backups are made with, `pg_restore` beside it. It must be as new as the"
        " server, or newer.",
    )
    pool_max: int = Field(
        20,
        ge=1,
        le=1000,
        validation_alias="OM_PG_POOL_MAX",
        description="Most connections that one server process holds; one more answers `/ready` while all are at work.",
    )
    pool_idle_s: int = Field(
        30,
        ge=1,
        le=86_400,
        validation_alias="OM_PG_POOL_IDLE_S",
        description="Seconds after which an idle connection is closed.",
    )
    connect_timeout_s: int = Field(
        2,
        ge=1,
        le=300,
        validation_alias="OM_PG_CONNECT_TIMEOUT_S",
        description="Seconds to wait for a connection to PostgreSQL, new or free. A DSN's `connect_timeout` wins.",
    )
    metadata_backend: Annotated[Literal["postgres"], BeforeValidator(_POSTGRES_ONLY), AnyCase] = Field(
        "postgres",
        validation_alias="OM_METADATA_BACKEND",
        description="Where memories are kept. Only PostgreSQL is served; `openmemory import sqlite`"
        " brings upstream's SQLite file over.",
    )
    vector_backend: Annotated[Literal["postgres"], BeforeValidator(_POSTGRES_ONLY), AnyCase] = Field(
        "postgres",
        validation_alias="OM_VECTOR_BACKEND",
        description="Where vectors are kept. Only PostgreSQL is served; `openmemory import sqlite`"
        " brings upstream's SQLite file over.",
    )

    @property
    def embedded(self) -> bool:
        """Return whether the PostgreSQL that OpenMemory brings along is used."""
        return self.host is None and self.dsn is None

    @property
    def owner_login(self) -> Login:
        """Return the login of the tables' owner. Raises ValueError if the server is embedded: it has its own."""
        if self.embedded:
            raise ValueError("the embedded server makes its own logins")
        if self.dsn is not None:
            return self._login_by(self.dsn)
        parts = {
            "host": self.host,
            "port": str(self.port),
            "dbname": self.db,
            "user": self.user,
            "password": self.password and self.password.get_secret_value(),
            "sslmode": self.ssl,
            "connect_timeout": str(self.connect_timeout_s),
        }
        return Login(keywords={keyword: value for keyword, value in parts.items() if value})

    @property
    def app_login(self) -> Login:
        """Return the login to serve with: `OM_PG_APP_USER`'s, or without one the owner's.

        Without a password of its own it does not inherit the owner's: an empty one sends libpq to the passfile.
        """
        owner = self.owner_login
        if self.app_user is None:
            return owner
        password = self.app_password.get_secret_value() if self.app_password else ""
        return Login(owner.dsn, {**owner.keywords, "user": self.app_user, "password": password})

    @property
    def direct_login(self) -> Login:
        """Return the owner's login past any pooler, for migrations and index builds."""
        return self.owner_login if self.direct_dsn is None else self._login_by(self.direct_dsn)

    def _login_by(self, secret: SecretStr) -> Login:
        dsn = secret.get_secret_value()
        keywords: dict[str, str] = {"sslmode": self.ssl} if self.ssl else {}
        if "connect_timeout" not in dsn:
            keywords["connect_timeout"] = str(self.connect_timeout_s)
        return Login(dsn, keywords)

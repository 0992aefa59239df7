"""What no setting can tell alone: which do not go together, and which have no effect beside others."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from openmemory.postgres.limits import INDEXABLE_DIMENSIONS
from openmemory.settings.database import DatabaseSettings
from openmemory.settings.server import AccessSettings, ServerSettings
from openmemory.settings.vectors import EmbeddingSettings, VectorSettings

OUR_TABLES: Final = frozenset(
    {
        "openmemory_idempotency",
        "openmemory_meta",
        "openmemory_migrations",
        "openmemory_row_quarantine",
        "openmemory_tenants",
        "openmemory_textrange",
        "openmemory_upgrade",
        "openmemory_users",
        "openmemory_vector_quarantine",
        "openmemory_waypoints",
        "temporal_facts",
    }
)
# An index is named after its table, whose name is cut so that both fit PostgreSQL's 63 bytes.
TELLING_BYTES: Final = 50

_NOT_YET: Final = ("OM_ADMIN_KEY", "OM_MAX_UPLOAD_BYTES", "OM_HNSW_EF_SEARCH", "OM_IVFFLAT_PROBES")


@dataclass(frozen=True, slots=True)
class Conflict:
    """Settings that do not go together, the reason and the way out."""

    names: tuple[str, ...]
    message: str


class Conflicting(ValueError):
    """Each setting may be good; together they are not."""

    def __init__(self, conflicts: tuple[Conflict, ...]) -> None:
        super().__init__("; ".join(conflict.message for conflict in conflicts))
        self.conflicts = conflicts


def login_conflicts(database: DatabaseSettings) -> Iterator[Conflict]:
    """Yield what is contradictory about the way to the database."""
    if database.dsn is not None and database.host is not None:
        yield Conflict(
            ("OM_PG_DSN", "OM_PG_HOST"),
            "OM_PG_DSN and OM_PG_HOST are both set, and may name two servers: unset one of them",
        )
    if database.app_password is not None and database.app_user is None:
        yield Conflict(
            ("OM_PG_APP_PASSWORD", "OM_PG_APP_USER"),
            "OM_PG_APP_PASSWORD is set without OM_PG_APP_USER: name the user it belongs to",
        )
    for name, role in (("OM_PG_APP_USER", database.app_user), ("OM_PG_APP_ROLE", database.app_role)):
        if role is not None and role == database.user:
            yield Conflict(
                (name, "OM_PG_USER"),
                f"{name} and OM_PG_USER are both {role!r}, but the owner of the tables is outside row-level security:"
                f" make {name} a role that owns nothing",
            )


def table_conflicts(database: DatabaseSettings) -> Iterator[Conflict]:
    """Yield the table names that collide."""
    names = {"OM_PG_TABLE": database.table, "OM_VECTOR_TABLE": database.vector_table}
    for name, table in names.items():
        if table in OUR_TABLES:
            yield Conflict((name,), f"{name}={table!r} is the name of another table of OpenMemory: choose another")
    memories, vectors = (table.encode()[:TELLING_BYTES] for table in names.values())
    if memories == vectors:
        yield Conflict(
            tuple(names),
            f"OM_PG_TABLE and OM_VECTOR_TABLE name two tables and must differ in their first {TELLING_BYTES} bytes",
        )


def vector_conflicts(embeddings: EmbeddingSettings, vectors: VectorSettings) -> Iterator[Conflict]:
    """Yield what is contradictory about embeddings and their index."""
    embedder = embeddings.embedder
    if embeddings.tier == "deep" and embedder != "openai":
        yield Conflict(
            ("OM_TIER", "OM_EMBEDDINGS"),
            f"OM_TIER=deep promises a provider's embeddings and OM_EMBEDDINGS is {embedder}: set OM_EMBEDDINGS=openai,"
            " or OM_TIER=hybrid",
        )
    if embedder == "openai" and embeddings.model is None:
        yield Conflict(
            ("OM_EMBEDDINGS", "OM_EMBED_MODEL"),
            "OM_EMBEDDINGS=openai needs OM_EMBED_MODEL: name the provider's model, such as text-embedding-3-small",
        )
    if embedder == "openai" and embeddings.openai_api_key is None and embeddings.openai_base_url is None:
        yield Conflict(
            ("OM_EMBEDDINGS", "OM_OPENAI_API_KEY", "OM_OPENAI_BASE_URL"),
            "OM_EMBEDDINGS=openai needs OM_OPENAI_API_KEY, or OM_OPENAI_BASE_URL of a server that wants no key",
        )
    if embedder == "none" and vectors.dim is None:
        yield Conflict(
            ("OM_EMBEDDINGS", "OM_VEC_DIM"),
            "OM_EMBEDDINGS=none needs OM_VEC_DIM: say how long the vectors are that come with the requests",
        )
    yield from _index_conflicts(vectors)


def _index_conflicts(vectors: VectorSettings) -> Iterator[Conflict]:
    most = INDEXABLE_DIMENSIONS[vectors.type]
    if vectors.index_type in {"hnsw", "ivfflat"} and vectors.dim is not None and vectors.dim > most:
        chosen = f"OM_PGVECTOR_INDEX_TYPE={vectors.index_type}"
        yield Conflict(
            ("OM_PGVECTOR_INDEX_TYPE", "OM_VEC_DIM", "OM_VEC_TYPE"),
            f"{chosen} takes at most {most} dimensions with OM_VEC_TYPE={vectors.type}, and OM_VEC_DIM is"
            f" {vectors.dim}: OM_PGVECTOR_INDEX_TYPE=auto has no such bound",
        )
    if vectors.hnsw_ef_construction < 2 * vectors.hnsw_m:
        yield Conflict(
            ("OM_HNSW_EF_CONSTRUCTION", "OM_HNSW_M"),
            f"OM_HNSW_EF_CONSTRUCTION is {vectors.hnsw_ef_construction}, less than twice OM_HNSW_M"
            f" ({vectors.hnsw_m}), which pgvector refuses",
        )


def access_conflicts(server: ServerSettings, access: AccessSettings) -> Iterator[Conflict]:
    """Yield what would let a stranger name a tenant, or name one that is not served."""
    if not (server.loopback or access.api_key or access.trust_tenant_header):
        yield Conflict(
            ("OM_HOST", "OM_API_KEY", "OM_TRUST_TENANT_HEADER"),
            f"OM_HOST={server.host} lets other machines in, and nothing proves which tenant they are: set OM_API_KEY,"
            " or OM_TRUST_TENANT_HEADER=true behind a gateway that proves it, or OM_HOST=127.0.0.1",
        )
    if not access.multi_tenant and access.tenant not in (None, access.default_tenant_id):
        yield Conflict(
            ("OM_MULTI_TENANT", "OM_TENANT", "OM_DEFAULT_TENANT_ID"),
            f"OM_TENANT is {access.tenant!r}, but with OM_MULTI_TENANT=false only OM_DEFAULT_TENANT_ID"
            f" ({access.default_tenant_id!r}) is served",
        )


def without_effect(
    database: DatabaseSettings,
    access: AccessSettings,
    embeddings: EmbeddingSettings,
    vectors: VectorSettings,
    given: Collection[str],
) -> Iterator[str]:
    """Yield a warning for each of the `given` names that has no effect beside the others, or too much."""
    parts = ("OM_PG_PORT", "OM_PG_DB", "OM_PG_USER", "OM_PG_PASSWORD")
    logins = (*parts, "OM_PG_SSL", "OM_PG_APP_USER", "OM_PG_APP_PASSWORD", "OM_PG_DIRECT_DSN")
    tokens = ("SECRET", "JWKS_URL", "ISSUER", "AUDIENCE", "TENANT_CLAIM")
    idle = [(f"OM_JWT_{token}", f"OM_TENANT_SOURCE={access.tenant_source}") for token in tokens]
    if database.dsn is not None:
        idle += [(part, "OM_PG_DSN, which says it all") for part in parts]
    if database.embedded:
        idle += [(name, "the embedded PostgreSQL, which is used without OM_PG_HOST and OM_PG_DSN") for name in logins]
    if embeddings.embedder != "openai":
        provider = ("OM_EMBED_MODEL", "OM_OPENAI_BASE_URL", "OM_OPENAI_API_KEY")
        idle += [(name, f"OM_EMBEDDINGS={embeddings.embedder}") for name in provider]
    if vectors.index_type != "ivfflat":
        idle += [(f"OM_IVFFLAT_{name}", f"OM_PGVECTOR_INDEX_TYPE={vectors.index_type}") for name in ("LISTS", "PROBES")]
    yield from (f"{name} has no effect with {other}" for name, other in idle if name in given)
    yield from (f"{name} has no effect in this version yet" for name in _NOT_YET if name in given)
    if access.admin_key is not None and access.admin_key == access.api_key:
        yield "OM_ADMIN_KEY is the same as OM_API_KEY, so whoever serves customers may also administer tenants"

"""How text becomes vectors, and how vectors are kept and found."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field

from openmemory.settings.kinds import AnyCase, Key, Section, Text, Unset, Url, refusing

OPENAI_BASE_URL: Final = "https://api.openai.com/v1"

Tier: TypeAlias = Literal["fast", "smart", "hybrid", "deep"]
Embedder: TypeAlias = Literal["static", "openai", "none", "hash"]
IndexType: TypeAlias = Literal["auto", "hnsw", "ivfflat", "none"]
Distance: TypeAlias = Literal["cosine", "l2", "ip"]
VectorType: TypeAlias = Literal["vector", "halfvec"]

_NOT_YET: Final = refusing(
    "is not in this version yet. The way out: OM_EMBEDDINGS=openai with OM_OPENAI_BASE_URL set to any server of that"
    " interface (http://localhost:11434/v1 serves Ollama; vLLM, TEI and LiteLLM have it too) and OM_EMBED_MODEL",
    lambda value: value in {"gemini", "aws", "ollama", "local"},
)
_NO_OTHER_SEARCH: Final = refusing(
    "cannot be served: pgvector keeps the vectors and does the search, and there is no search in memory to fall back"
    " to. Unset it; `openmemory migrate` lifts a database from before pgvector",
    lambda value: value is False,
)


class EmbeddingSettings(Section):
    """What turns text into vectors."""

    tier: Annotated[Tier, AnyCase] = Field(
        "hybrid",
        validation_alias="OM_TIER",
        description="Tier that `/health` shows. `fast`, `smart` and `hybrid` are served by the static embedder;"
        " `deep` wants a provider.",
    )
    embedder: Annotated[Embedder, BeforeValidator(_NOT_YET), AnyCase] = Field(
        "static",
        validation_alias="OM_EMBEDDINGS",
        description="What makes the vectors. `static`: the token table that comes along. `openai`: any server of"
        " that interface, such as OpenAI, Ollama, vLLM, TEI or LiteLLM. `none`: each request brings its own."
        " `hash`: without meaning, for tests. `ollama`, `gemini`, `aws` and `local` are not in this version yet.",
    )
    model: Text | None = Field(
        None,
        validation_alias="OM_EMBED_MODEL",
        description="Model of the provider, such as `text-embedding-3-small`. Another model than the one that"
        " made the stored vectors is refused at the start.",
    )
    openai_base_url: Annotated[Url, Unset(f"`{OPENAI_BASE_URL}`")] | None = Field(
        None,
        validation_alias="OM_OPENAI_BASE_URL",
        description="Address of the provider, up to and with `/v1`. Ollama's is `http://localhost:11434/v1`.",
    )
    openai_api_key: Key | None = Field(
        None,
        validation_alias="OM_OPENAI_API_KEY",
        description="Key of the provider; servers of your own often want none.",
    )

    @property
    def base_url(self) -> str:
        """Return the address of the provider."""
        return self.openai_base_url or OPENAI_BASE_URL


class VectorSettings(Section):
    """How vectors are kept and searched."""

    pgvector_enabled: Annotated[bool, AfterValidator(_NO_OTHER_SEARCH)] = Field(
        True,
        validation_alias="OM_PGVECTOR_ENABLED",
        description="Whether pgvector keeps and searches the vectors. There is no other way: `false` is refused.",
    )
    dim: Annotated[int, Unset("the embedder's")] | None = Field(
        None,
        ge=1,
        le=8192,
        validation_alias="OM_VEC_DIM",
        description="Dimensions of a vector. Needed with `OM_EMBEDDINGS=none`. With `openai`, a model whose vectors are"
        " of another length is asked to shorten them (`dimensions`). Otherwise another value than the embedder's is"
        " refused at the start.",
    )
    type: Annotated[VectorType, AnyCase] = Field(
        "vector",
        validation_alias="OM_VEC_TYPE",
        description="Column type of a new database's vectors. `halfvec` takes half the room, with 16-bit numbers.",
    )
    distance: Annotated[Distance, AnyCase] = Field(
        "cosine",
        validation_alias="OM_PGVECTOR_DISTANCE",
        description="Distance by which candidates are ranked: cosine, Euclidean (`l2`) or negative inner product"
        " (`ip`).",
    )
    index_type: Annotated[IndexType, AnyCase] = Field(
        "auto",
        validation_alias="OM_PGVECTOR_INDEX_TYPE",
        description="How vectors are indexed. `auto`: the tenant index, by which a question reads its own tenant's rows"
        " and no others. `none`: the same, and no approximate index ever, also when later versions would give a large"
        " tenant one. `hnsw`, `ivfflat`: `openmemory migrate` also builds the upgrade guide's indexes over all tenants,"
        " one a sector, for SQL of your own; `/memory/query` reads the tenant index all the same.",
    )
    hnsw_m: int = Field(16, ge=2, le=100, validation_alias="OM_HNSW_M", description="Links of a node in an HNSW index.")
    hnsw_ef_construction: int = Field(
        64,
        ge=4,
        le=1000,
        validation_alias="OM_HNSW_EF_CONSTRUCTION",
        description="Candidates kept while an HNSW index is built; at least twice `OM_HNSW_M`.",
    )
    hnsw_ef_search: int = Field(
        40,
        ge=1,
        le=1000,
        validation_alias="OM_HNSW_EF_SEARCH",
        description="Candidates kept while an HNSW index is searched, which no search does in this version yet.",
    )
    ivfflat_lists: int = Field(
        1000, ge=1, le=32_768, validation_alias="OM_IVFFLAT_LISTS", description="Lists of an IVFFlat index."
    )
    ivfflat_probes: int = Field(
        10,
        ge=1,
        le=32_768,
        validation_alias="OM_IVFFLAT_PROBES",
        description="Lists that a search of an IVFFlat index reads, which no search does in this version yet.",
    )

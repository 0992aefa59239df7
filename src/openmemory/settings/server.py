"""Where the server listens, whom it believes, what it lets one tenant take, and what it logs."""

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BeforeValidator, ByteSize, Field

from openmemory.settings.kinds import (
    AnyCase,
    Header,
    Host,
    Key,
    Origins,
    Password,
    Section,
    Size,
    TenantName,
    Text,
    Unset,
    Url,
    is_loopback,
    refusing,
)

TenantSource: TypeAlias = Literal["header"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]
LogFormat: TypeAlias = Literal["console", "json"]

_NOT_YET: Final = refusing(
    "is not in this version yet. The way out: OM_TENANT_SOURCE=header, and a backend of yours that proves who is asking"
    " and names the tenant with OM_API_KEY",
    lambda value: value in {"jwt", "api_key"},
)
_KIB: Final = 1024
_MIB: Final = 1024 * _KIB
_GIB: Final = 1024 * _MIB


class ServerSettings(Section):
    """Where the server listens."""

    host: Host = Field(
        "127.0.0.1",
        validation_alias="OM_HOST",
        description="Address to listen on. Beyond this machine (`0.0.0.0`, say) the server wants `OM_API_KEY` or"
        " `OM_TRUST_TENANT_HEADER=true`.",
    )
    port: int = Field(8080, ge=1, le=65535, validation_alias="OM_PORT", description="Port to listen on.")
    cors_origins: Annotated[Origins, Unset("none")] = Field(
        (),
        validation_alias="OM_CORS_ORIGINS",
        description="Origins whose pages may call the API from a browser.",
    )

    @property
    def loopback(self) -> bool:
        """Return whether only this machine can reach the server."""
        return is_loopback(self.host)


class AccessSettings(Section):
    """Who is asking, and when that is believed."""

    multi_tenant: bool = Field(
        True,
        validation_alias="OM_MULTI_TENANT",
        description="Whether requests may name a tenant. If `false`, all belong to `OM_DEFAULT_TENANT_ID` and naming"
        " another is 403.",
    )
    default_tenant_id: TenantName = Field(
        "default",
        validation_alias="OM_DEFAULT_TENANT_ID",
        description="Tenant of a request that names none.",
    )
    auto_create_tenants: bool = Field(
        True,
        validation_alias="OM_AUTO_CREATE_TENANTS",
        description="Whether a tenant that is named for the first time is created; else the operator does, see"
        " [Your own PostgreSQL](../how-to/own-postgresql.md#tenants-by-hand).",
    )
    tenant: TenantName | None = Field(
        None,
        validation_alias="OM_TENANT",
        description="Tenant that the owner of the process works in, on the command line, unless `--tenant` says.",
    )
    tenant_source: Annotated[TenantSource, BeforeValidator(_NOT_YET), AnyCase] = Field(
        "header",
        validation_alias="OM_TENANT_SOURCE",
        description="What names the tenant. `jwt` and `api_key` are not in this version yet.",
    )
    tenant_header: Header = Field(
        "x-tenant-id", validation_alias="OM_TENANT_HEADER", description="Request header that names the tenant."
    )
    trust_tenant_header: bool = Field(
        False,
        validation_alias="OM_TRUST_TENANT_HEADER",
        description="Whether the header is believed without a key. Only for a server that nobody reaches but through"
        " a gateway which has proved the tenant and sets the header itself.",
    )
    api_key: Key | None = Field(
        None,
        validation_alias="OM_API_KEY",
        description="Server key, sent as `x-api-key` or `Authorization: Bearer`; once set, every request needs it"
        " but `/health`, `/ready`, `/metrics` and `/openapi.json`. It may name any tenant,"
        " so it is for your own backend and never for customers."
        " Beside an `x-api-key` nobody looks at `Authorization`, which a gateway may need for itself.",
    )
    admin_key: Key | None = Field(
        None,
        validation_alias="OM_ADMIN_KEY",
        description="Operator's key for `/admin/*`, which is not in this version yet.",
    )
    jwt_secret: Password | None = Field(
        None, validation_alias="OM_JWT_SECRET", description="Secret that tokens are signed with, in `jwt` mode."
    )
    jwt_jwks_url: Url | None = Field(
        None, validation_alias="OM_JWT_JWKS_URL", description="Address of the public keys that tokens are checked by."
    )
    jwt_issuer: Annotated[Text, Unset("not checked")] | None = Field(
        None, validation_alias="OM_JWT_ISSUER", description="Issuer that a token must name."
    )
    jwt_audience: Annotated[Text, Unset("not checked")] | None = Field(
        None, validation_alias="OM_JWT_AUDIENCE", description="Audience that a token must name."
    )
    jwt_tenant_claim: Text = Field(
        "app_metadata.organization_id",
        validation_alias="OM_JWT_TENANT_CLAIM",
        description="Claim that names the tenant; a dot leads into an object.",
    )


class LimitSettings(Section):
    """How much one request, one tenant and one process may take."""

    statement_timeout_ms: int = Field(
        10_000,
        ge=1,
        le=3_600_000,
        validation_alias="OM_STATEMENT_TIMEOUT_MS",
        description="Milliseconds after which PostgreSQL gives up on a statement of a request.",
    )
    tenant_concurrency: int = Field(
        8,
        ge=1,
        le=1000,
        validation_alias="OM_TENANT_CONCURRENCY",
        description="Requests of one tenant that one server process works on at once; the others wait.",
    )
    tenant_wait_ms: int = Field(
        2_000,
        ge=0,
        le=60_000,
        validation_alias="OM_TENANT_WAIT_MS",
        description="Milliseconds that a request waits for its tenant's turn before it is answered 429 with"
        " `Retry-After`, and a question for its turn among those of all tenants before it is answered 503.",
    )
    max_body_bytes: Size = Field(
        ByteSize(_MIB),
        ge=_KIB,
        le=_GIB,
        validation_alias="OM_MAX_BODY_BYTES",
        description="Largest body of any other request; above it 413.",
    )
    max_batch_bytes: Size = Field(
        ByteSize(32 * _MIB),
        ge=_KIB,
        le=_GIB,
        validation_alias="OM_MAX_BATCH_BYTES",
        description="Largest body of `POST /memory/add/batch`; above it 413.",
    )
    max_upload_bytes: Size = Field(
        ByteSize(25 * _MIB),
        ge=_KIB,
        le=_GIB,
        validation_alias="OM_MAX_UPLOAD_BYTES",
        description="Largest document that is taken in, which is not in this version yet.",
    )
    search_cache_bytes: Size = Field(
        ByteSize(256 * _MIB),
        ge=0,
        le=1024 * _GIB,
        validation_alias="OM_SEARCH_CACHE_BYTES",
        description="Memory of one server process for the codes and terms of the tenants asked last, some 300 bytes a"
        " memory. A tenant that does not fit is read again from PostgreSQL for every question, as are all with 0.",
    )


class LoggingSettings(Section):
    """What the server says about itself."""

    level: Annotated[LogLevel, AnyCase] = Field(
        "info", validation_alias="OM_LOG_LEVEL", description="Least weight of an event that is logged."
    )
    format: Annotated[LogFormat, AnyCase, Unset("`console` at a terminal, `json` elsewhere")] | None = Field(
        None,
        validation_alias="OM_LOG_FORMAT",
        description="Form of the log: `console` for people, `json`, one object a line, for machines.",
    )

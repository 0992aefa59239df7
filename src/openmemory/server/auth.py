"""Who is asking: from the headers of a request to the name of a proved tenant."""

import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request

from openmemory.core.scope import name_problem
from openmemory.errors import CredentialsInvalid, CredentialsMissing, Malformed, TenantForbidden

_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")
_CHOOSE = (
    "nothing proves the tenant: send the server key (OM_API_KEY) as x-api-key or Authorization: Bearer, or ask over"
    " loopback without a proxy from a server bound to loopback, or put a gateway in front that proves the tenant and"
    " set OM_TRUST_TENANT_HEADER=true"
)


@dataclass(frozen=True, slots=True)
class Asker:
    """A proved tenant, and a name for the credential that proved it (never the credential)."""

    tenant: str
    credential: str


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    """Believes the tenant header where the server key, loopback or a trusted gateway vouches for it.

    Sources of tenants to come (signed tokens, issued keys) are further classes with the same `authenticate`.
    """

    bound_to_loopback: bool
    api_key: str | None = None
    trust_header: bool = False
    header: str = "x-tenant-id"
    default_tenant: str = "default"
    multi_tenant: bool = True

    def authenticate(self, request: Request) -> Asker:
        """Return who asks.

        Raises CredentialsMissing, CredentialsInvalid, Malformed for a header that names no tenant, and
        TenantForbidden for another tenant than the default where there is only one.
        """
        credential = self._prove(request)
        tenant = self._tenant(request)
        if not self.multi_tenant and tenant != self.default_tenant:
            raise TenantForbidden(f"this server has one tenant (OM_MULTI_TENANT=false); leave out {self.header}")
        return Asker(tenant, credential)

    def _prove(self, request: Request) -> str:
        if self.api_key is not None:
            _check_key(_presented_key(request.headers), self.api_key)
            return "server-key"
        if self.trust_header:
            return "gateway"
        if self.bound_to_loopback and _is_local(request):
            return "loopback"
        raise CredentialsMissing(_CHOOSE)

    def _tenant(self, request: Request) -> str:
        name = self.header.encode().lower()
        values = [value for key, value in request.headers.raw if key == name]
        if not values:
            return self.default_tenant
        if len(values) > 1:
            raise Malformed.at(self.header, "is given more than once")
        try:
            tenant = values[0].decode()
        except UnicodeDecodeError as error:
            raise Malformed.at(self.header, "is not UTF-8") from error
        if problem := name_problem(tenant):
            raise Malformed.at(self.header, problem)
        return tenant


def _presented_key(headers: Headers) -> str | None:
    key = headers.get("x-api-key")
    if key is not None:
        return key
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _check_key(presented: str | None, expected: str) -> None:
    if presented is None:
        raise CredentialsMissing("API key required: send it as x-api-key or Authorization: Bearer")
    if not hmac.compare_digest(presented.encode("latin-1", "replace"), expected.encode()):
        raise CredentialsInvalid("the API key is not accepted")


def _is_local(request: Request) -> bool:
    """Return whether a request came from this machine itself, not through a proxy or another site's page."""
    if request.client is None or not _is_loopback(request.client.host):
        return False
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _is_loopback(urlsplit(f"//{hosts[0]}").hostname or ""):
        return False
    if any(name in request.headers for name in _PROXY_HEADERS) or any(
        name.startswith("x-forwarded-") for name in request.headers
    ):
        return False
    return _is_same_site(request.headers, hosts[0])


def _is_same_site(headers: Headers, host: str) -> bool:
    origins = headers.getlist("origin")
    if headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return False
    return all(urlsplit(origin).netloc == host and origin != "null" for origin in origins)


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

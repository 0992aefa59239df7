"""Authentication: from the headers of a request to the name of a proved tenant."""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

from starlette.datastructures import Headers
from starlette.requests import Request

from openmemory.core.scope import tenant_problem
from openmemory.errors import CredentialsInvalid, CredentialsMissing, Malformed, TenantForbidden

_ADDRESSES_KEPT = 64
_PROXY_HEADERS = frozenset({"forwarded", "x-real-ip", "via"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?", re.IGNORECASE)
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

    Further ways to prove a tenant (signed tokens, issued keys) will be classes with the same `authenticate`.
    """

    bound_to_loopback: bool
    api_key: str | None = None
    trust_header: bool = False
    header: str = "x-tenant-id"
    default_tenant: str = "default"
    multi_tenant: bool = True
    pages: frozenset[str] = frozenset()

    def with_pages(self, origins: Iterable[str]) -> Self:
        """Return a copy that believes exactly those pages of `origins` that come from this machine."""
        return replace(self, pages=frozenset(one for one in origins if _is_loopback_host(one.rpartition("//")[2])))

    def authenticate(self, request: Request) -> Asker:
        """Return the proved tenant and the credential's name.

        Raises CredentialsMissing, CredentialsInvalid, Malformed for a header that names no tenant, and
        TenantForbidden if there is only the default tenant and the header names another.
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
        if self.bound_to_loopback and _is_local(request, self.pages):
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
        if problem := tenant_problem(tenant):
            raise Malformed.at(self.header, problem)
        return tenant


def _presented_key(headers: Headers) -> str | None:
    keys = headers.getlist("x-api-key")  # counts alone where it is sent: Authorization may then be for a gateway
    authorizations = headers.getlist("authorization")
    if len(keys or authorizations) > 1:
        return ""  # to choose one of several would be a guess: none is accepted
    if keys:
        return keys[0]
    scheme, _, token = "".join(authorizations).partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _check_key(presented: str | None, expected: str) -> None:
    if presented is None:
        raise CredentialsMissing("API key required: send it as x-api-key or Authorization: Bearer")
    if not hmac.compare_digest(presented.encode("latin-1", "replace"), expected.encode()):
        raise CredentialsInvalid("the API key is not accepted")


def _is_local(request: Request, pages: frozenset[str]) -> bool:
    """Return whether a request came from this machine itself, not through a proxy or another site's page."""
    if request.client is None or not _is_loopback(request.client.host):
        return False
    hosts = request.headers.getlist("host")
    if len(hosts) != 1 or not _is_loopback_host(hosts[0]):
        return False
    if any(name in _PROXY_HEADERS or name.startswith("x-forwarded-") for name in request.headers):
        return False
    return _is_own_page(request.headers, hosts[0].lower(), pages)


def _is_own_page(headers: Headers, host: str, pages: frozenset[str]) -> bool:
    """Return whether a request comes from no web page, from one that this server served, or from one of `pages`."""
    origins = [origin.lower() for origin in headers.getlist("origin")]
    if origins and all(origin in pages for origin in origins):
        return True
    if any(site not in {"none", "same-origin"} for site in headers.getlist("sec-fetch-site")):
        return False
    return all(origin in {f"http://{host}", f"https://{host}"} for origin in origins)


def _is_loopback_host(host: str) -> bool:
    """Return whether a Host header, with or without a port, names this machine."""
    found = _HOST.fullmatch(host)
    return found is not None and _is_loopback(found[1] or found[2])


@lru_cache(_ADDRESSES_KEPT)
def _is_loopback(address: str) -> bool:
    if address.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False

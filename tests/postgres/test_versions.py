"""Which versions of PostgreSQL and pgvector are served, warned of and refused."""

import pytest

from openmemory.errors import ConfigurationError
from openmemory.postgres.versions import Versions, check_versions


@pytest.mark.parametrize(
    ("server", "pgvector", "said"),
    [
        (140022, "0.8.5", "PostgreSQL is 14"),
        (150000, "0.7.4", "pgvector is 0.7.4; 0.8.0 or newer is needed"),
        (180004, "0.5.0", "ALTER EXTENSION vector UPDATE"),
        (180004, None, "the extension vector is not in this database"),
    ],
)
def test_an_old_server_or_pgvector_is_refused(server: int, pgvector: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        check_versions(Versions(server, str(server // 10000), pgvector, "login"))


@pytest.mark.parametrize("pgvector", ["0.8.0", "0.8.3"])
def test_a_pgvector_with_known_faults_is_a_warning(pgvector: str) -> None:
    (warning,) = check_versions(Versions(150000, "15.0", pgvector, "login"))

    assert "0.8.4" in warning


@pytest.mark.parametrize("pgvector", ["0.8.4", "0.8.10", "0.9.0", "1.0.0", "1.0"])
def test_a_sound_pgvector_is_no_matter(pgvector: str) -> None:
    assert check_versions(Versions(180004, "18.4", pgvector, "login")) == []

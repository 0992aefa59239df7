"""What tenant B tries with A's names, for every public method and function of the service room."""

from tests.tenancy.attempts import Case
from tests.tenancy.memory_cases import MEMORY_CASES
from tests.tenancy.running_cases import RUNNING_CASES

CASES: dict[str, Case] = MEMORY_CASES | RUNNING_CASES

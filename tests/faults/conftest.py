"""The stack fixtures of the integration tests."""

from tests.integration.conftest import fresh_stack, stack

__all__ = ["fresh_stack", "stack"]

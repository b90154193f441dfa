"""The same stacks as in the integration tests."""

from tests.integration.conftest import fresh_stack, stack

__all__ = ["fresh_stack", "stack"]

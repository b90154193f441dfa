"""From exceptions to exit codes: what every `main` does with errors."""

from __future__ import annotations

from collections.abc import Callable

from customer_profiles.common.errors import PipelineError
from customer_profiles.common.logs import log_crash, print_error, print_interrupted


def run_command(main: Callable[[], int], *, interrupted: str) -> int:
    """Run a command and turn its errors into messages on standard error.

    Args:
        main: Does the work and returns an exit code.
        interrupted: What to say after Ctrl-C. It names what is done and how to continue.

    Returns:
        The exit code: that of `main`, that of the `PipelineError` (1, or 3 if the work is done and
        something is behind), 130 after Ctrl-C.
    """
    try:
        return main()
    except PipelineError as error:
        print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print_interrupted(interrupted)
        return 130
    except Exception:
        if not log_crash():
            raise
        return 1

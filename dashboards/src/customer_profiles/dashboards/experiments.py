"""Which variant a customer gets, as an answer of the page's server.

    GET /experiments                              the registered experiments
    GET /experiments/NAME/customers/USER_ID       the variant of one customer, and why

A shop may ask on every page view, so the definitions are kept for some seconds. An answer reads one
document of Elasticsearch.
"""

from __future__ import annotations

import re
import time
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from customer_profiles.contracts.experiment import RegisteredExperiment
from customer_profiles.contracts.exposure import is_experiment_name
from customer_profiles.contracts.rules import PLAIN_INTEGER
from customer_profiles.lake.experiments import ExperimentLake
from customer_profiles.lake.object_store import ObjectStore
from customer_profiles.search.profile_index import ProfileIndex

KEEP_S = 10.0
"""For how long a registered experiment is not read again, in seconds."""
MAX_KEPT = 1_000
"""Names that are kept at most: anybody can ask for names that do not exist."""


class VariantAnswers:
    """Answers from the lake and from Elasticsearch.

    Methods raise `LakeUnavailableError` or `IndexUnavailableError` if a server does not answer.
    """

    def __init__(self, store: ObjectStore, profiles: ProfileIndex) -> None:
        self._lake = ExperimentLake(store)
        self._profiles = profiles
        self._kept: dict[str, tuple[float, RegisteredExperiment | None]] = {}

    def names(self) -> list[str]:
        """Return the names of the registered experiments."""
        return self._lake.names()

    def variant(self, name: str, user_id: str) -> dict[str, Any] | None:
        """Return the answer for one customer; None if there is no such experiment."""
        experiment = self._experiment(name)
        if experiment is None:
            return None
        answer = experiment.assign(user_id, self._profiles.get(user_id))
        return {
            "experiment": name,
            "user_id": user_id,
            "variant": answer.variant,
            "outcome": str(answer.outcome),
        }

    def _experiment(self, name: str) -> RegisteredExperiment | None:
        read_at, experiment = self._kept.get(name, (0.0, None))
        now = time.monotonic()
        if not read_at or now - read_at > KEEP_S:
            experiment, _ = self._lake.read(name)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[name] = now, experiment
        return experiment


def experiment_routes(store: ObjectStore, profiles: ProfileIndex) -> list[Route]:
    """Return the routes of experiments.

    Args:
        store: the lake.
        profiles: the live profiles.
    """
    answers = VariantAnswers(store, profiles)

    async def names(_: Request) -> Response:
        return JSONResponse({"experiments": await run_in_threadpool(answers.names)})

    async def variant(request: Request) -> Response:
        name, user_id = request.path_params["name"], request.path_params["user_id"]
        if not is_experiment_name(name):
            return _missing("There is no experiment of this name.")
        if not re.fullmatch(PLAIN_INTEGER, user_id):
            return _missing("A customer's id has 1 to 20 digits.")
        answer = await run_in_threadpool(answers.variant, name, user_id)
        if answer is None:
            return _missing(
                f"There is no experiment {name}. `make assign EXPERIMENT={name}` registers it."
            )
        return JSONResponse(answer)

    return [
        Route("/experiments", names),
        Route("/experiments/{name}/customers/{user_id}", variant),
    ]


def _missing(message: str) -> Response:
    return JSONResponse({"error": message}, 404)

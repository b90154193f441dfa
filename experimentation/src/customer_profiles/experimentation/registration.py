"""From the file of an experiment to the record in the lake that decides about variants."""

from __future__ import annotations

from fractions import Fraction

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.assignment import SLOTS, Allocation, Share, allocate, layer_share
from customer_profiles.contracts.experiment import FieldCondition, RegisteredExperiment
from customer_profiles.experimentation.definition import Experiment


def allocation_of(experiment: Experiment) -> Allocation:
    """Return the ranges of an experiment.

    The control has the first range. The layer's range starts at `layer_start` and is as long as the
    traffic. The holdout has the first slots of its salt.
    """
    holdout = experiment.holdout
    return Allocation(
        salt=experiment.salt,
        ranges=allocate({variant.name: variant.weight for variant in experiment.variants}),
        layer=layer_share(
            experiment.layer, Fraction(experiment.layer_start), Fraction(experiment.traffic)
        ),
        holdout=Share(holdout.salt, 0, int(holdout.share * SLOTS)) if holdout else None,
    )


def registered(experiment: Experiment, text: str) -> RegisteredExperiment:
    """Return the record of an experiment.

    Args:
        experiment: what its file declares.
        text: the text of the file.
    """
    return RegisteredExperiment(
        name=experiment.name,
        allocation=allocation_of(experiment),
        start=experiment.start.isoformat(),
        end=experiment.end.isoformat(),
        segments=experiment.eligible.segments,
        conditions=tuple(
            FieldCondition(item.field, item.at_least, item.at_most)
            for item in experiment.eligible.conditions
        ),
        definition=text,
    )


def check_overlap(experiment: RegisteredExperiment, others: list[RegisteredExperiment]) -> None:
    """Refuse a range in a layer that another experiment has at the same time.

    Raises:
        PipelineError: two ranges overlap; the message names both experiments.
    """
    mine = experiment.allocation.layer
    for other in others:
        theirs = other.allocation.layer
        if (
            mine
            and theirs
            and other.name != experiment.name
            and mine.salt == theirs.salt
            and mine.start < theirs.end
            and theirs.start < mine.end
            and experiment.start < other.end
            and other.start < experiment.end
        ):
            raise PipelineError(
                f"{experiment.name} and {other.name} have overlapping ranges in the layer "
                f"{mine.salt.removeprefix('layer:')}: {_percent(mine)} and {_percent(theirs)}.\n"
                "Give one of them another layer_start or less traffic, or a layer of its own."
            )


def _percent(share: Share) -> str:
    return f"{share.start * 100 / SLOTS:g} to {share.end * 100 / SLOTS:g} %"

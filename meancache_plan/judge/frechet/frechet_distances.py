"""What Fréchet distances were found, for tables and machines."""

from typing import Annotated

from pydantic import Field

from meancache_plan.files.validation import Checked

Text = Annotated[str, Field(min_length=1, max_length=300)]


class Distance(Checked):
    """Of one method in one setting.

    Attributes:
        method, setting, budget: As in the row of the same method.
        distance: To the pictures.
        change: From the full samples' distance; 0 for their own.
        interval: 95 % bootstrap interval of the change; prompts are the independent units.
    """

    method: Text
    setting: Text
    budget: int | None
    distance: float
    change: float
    interval: tuple[float, float]


class Distances(Checked):
    """Distances of many samples to pictures; the full samples' first.

    Distances depend on the number of samples, as all Fréchet distances do; changes much less.

    Attributes:
        name: What such a distance is called: ``FID`` with Inception's features only.
        dimensions: Of a feature.
        samples: Of each method, the same prompts and seeds.
        to: What they are to, in words.
        pictures: How many these are.
        rows: One a method and setting.
    """

    name: Text
    dimensions: int
    samples: int
    to: Text
    pictures: int
    rows: tuple[Distance, ...]

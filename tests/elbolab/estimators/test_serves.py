"""The table of who serves what is what the classes declare, and what they do."""

from pathlib import Path

import pytest

from elbolab import Pathwise, estimators
from elbolab.estimators import serves
from elbolab.estimators.base import Estimator, concrete
from tests.elbolab.random_programs.survey import HEADING

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "serves.md"


def test_the_page_is_up_to_date():
    first = PAGE.read_text().partition(HEADING)[0].rstrip()
    assert first == serves.table().rstrip(), "python -m elbolab.estimators.serves, the survey's section after it"


@pytest.mark.parametrize("column", serves.PROGRAMS)
def test_an_estimator_does_as_the_table_says(column):
    model, guide = serves.PROGRAMS[column]
    for name, row in serves.served().items():
        cls = getattr(estimators, name)
        estimator = cls(max(cls.least_particles, 2))
        if row[column]:
            estimator.differentiable_loss(model, guide)
        else:
            with pytest.raises(ValueError, match=f"{name} serves"):
                estimator.differentiable_loss(model, guide)


def test_what_is_offered_in_its_place_is_the_librarys():
    class Averaging(Pathwise):
        """A stranger's own."""

    assert Averaging in Pathwise.__subclasses__()
    assert Averaging not in concrete(Estimator)
    assert Pathwise in concrete(Estimator)

"""A small part of `damage_everything`, which has the kinds that no other test damages."""

import pytest

from tests.damage_everything import damage

# Not marked `tensorflow`: TensorFlow 2.21 alone, building and converting the model that the files
# are of, takes more memory than damaged files may.


@pytest.mark.parametrize(("name", "count"), [("resigned", 60), ("videos", 22)])
def test_damage_ends_well(name, count):
    """In time, in little memory, in one line, and with no other levels than were written."""
    ended = list(damage(name, 1000, count))
    assert len(ended) == count
    assert not [each for each in ended if each[2].isupper()]
    assert len([each for each in ended if each[2] == "refused"]) > count / 3

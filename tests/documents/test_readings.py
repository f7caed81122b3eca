import numpy as np
import pytest

from xas_bluesky.config import Fluorescence
from xas_bluesky.documents.readings import count_columns, to_columns, to_number
from xas_bluesky.errors import SpectrumError

NO_ROI, ROI = Fluorescence(), Fluorescence(roi=(1, 2))


@pytest.mark.parametrize(
    ("shape", "channel", "fluorescence", "columns"),
    [
        ((), "i0", NO_ROI, 1),
        ((1,), "i0", NO_ROI, 1),
        ((4,), "i0", NO_ROI, 1),
        ((3, 5), "energy", NO_ROI, 1),
        ((), "fluorescence", ROI, 1),
        ((4,), "fluorescence", NO_ROI, 4),
        ((1, 4), "fluorescence", NO_ROI, 4),
        ((4, 8), "fluorescence", ROI, 4),
        ((1, 4, 8), "fluorescence_2", ROI, 4),
        ((1, 8), "fluorescence", ROI, 1),
        ((4,), "icr_1", ROI, 4),
    ],
)
def test_how_many_columns_a_shape_makes(shape, channel, fluorescence, columns):
    assert count_columns(shape, channel, fluorescence) == columns
    values = np.arange(3.0)[:, None] + np.zeros((3, int(np.prod(shape))))
    found = to_columns(values.reshape(3, *shape), channel, fluorescence)
    assert found.shape == (3, columns)
    assert (np.diff(found, axis=0) > 0).all()


def test_samples_of_the_energy_are_averaged_those_of_a_counter_added_up():
    values = [[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]]
    np.testing.assert_array_equal(to_columns(values, "energy", NO_ROI), [[3.0], [1.0]])
    np.testing.assert_array_equal(to_columns(values, "energy_setpoint", NO_ROI), [[3.0], [1.0]])
    np.testing.assert_array_equal(to_columns(values, "i0", NO_ROI), [[9.0], [3.0]])


def test_the_first_and_the_last_bin_count_too():
    np.testing.assert_array_equal(to_columns([[1.0, 10.0, 100.0, 1000.0]], "fluorescence", ROI), [[110.0]])


@pytest.mark.parametrize("shape", [(None,), (4, None)])
def test_a_shape_that_changes_is_refused(shape):
    with pytest.raises(SpectrumError, match="no fixed shape"):
        count_columns(shape, "i0", NO_ROI)


@pytest.mark.parametrize("value", [None, "disconnected", {}, [1, 2]])
def test_what_is_no_number_is_nan(value):
    assert np.isnan(to_number(value))
    assert np.isnan(to_columns([value], "icr", NO_ROI)).all() or value == [1, 2]


def test_what_is_a_number_is_read():
    assert [to_number(value) for value in (3, "2.5", np.float32(0.5), True)] == [3.0, 2.5, 0.5, 1.0]

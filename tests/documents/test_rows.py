import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xas_bluesky.documents.rows import Rows


@given(st.lists(st.integers(1, 300), max_size=400))
def test_rows_are_by_number_and_the_last_of_each(numbers):
    rows = Rows(2)
    for time, number in enumerate(numbers):
        rows.append([number, time])
    latest = {number: time for time, number in enumerate(numbers)}
    assert rows.read().tolist() == [[number, latest[number]] for number in sorted(latest)]
    assert len(rows) == len(numbers)


def test_what_was_read_does_not_change():
    rows = Rows(2)
    rows.append([1, 5.0])
    before = rows.read()
    rows.append([1, 6.0])
    assert before.tolist() == [[1, 5.0]]
    assert rows.read().tolist() == [[1, 6.0]]


def test_a_reader_beside_the_writer_sees_whole_rows_only():
    rows, torn, done = Rows(3), [], threading.Event()

    def watch():
        while not done.is_set():
            read = rows.read()
            torn.extend(row for row in read if not row[0] == row[1] == row[2])
            if len(read) and not np.array_equal(read[:, 0], np.arange(1, len(read) + 1)):
                torn.append(read)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(1, 5001):
        rows.append([number, number, number])
    done.set()
    watcher.join()
    assert not torn
    assert len(rows) == 5000

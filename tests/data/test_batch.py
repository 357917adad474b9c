"""Shards of a batch."""

import pytest

from vidattn.data.batch import shard_range


@pytest.mark.parametrize(("size", "count"), [(7, 3), (8, 2), (3, 5), (0, 2)])
def test_shards_cover_everything_once_and_evenly(size: int, count: int) -> None:
    shards = [shard_range(size, number, count) for number in range(count)]
    assert [i for shard in shards for i in shard] == list(range(size))
    assert max(map(len, shards)) - min(map(len, shards)) <= (2 if size >= 2 * count else 1)
    assert all(shard.start % 2 == 0 for shard in shards if size >= 2 * count)

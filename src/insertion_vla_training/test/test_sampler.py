"""The order of samples: weighted, repeatable, shared out among ranks and resumable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insertion_vla_training.datasets.sampler import RankSampler, WeightedOrder


def even(count, seed=0, length=None):
    return WeightedOrder(np.zeros(count, int), np.ones(count), [1.0], seed, length)


def drawn(sampler):
    return [pair for batch in sampler for pair in batch]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**64 - 1), st.integers(0, 1000))
def test_with_even_weights_every_sample_comes_once(count, seed, epoch):
    samples, shares = even(count, seed).epoch(epoch)
    assert sorted(samples.tolist()) == list(range(count))
    assert ((shares >= 0) & (shares < 1)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 10.0)), min_size=1, max_size=60),
    st.lists(st.floats(0.0, 5.0), min_size=3, max_size=3),
    st.integers(1, 200),
)
def test_every_sample_comes_as_often_as_its_weight_says_give_or_take_one(samples, source_weights, length):
    sources, weights = (np.array(column) for column in zip(*samples, strict=True))
    totals = np.array([weights[sources == k].sum() for k in range(3)])
    parts = np.where(totals > 0, source_weights, 0.0)
    if not parts.sum() > 1e-6 or (totals[totals > 0] < 1e-6).any():
        return
    found, _ = WeightedOrder(sources, weights, source_weights, 1, length).epoch(0)
    expected = length * parts[sources] / parts.sum() * weights / np.where(totals > 0, totals, 1.0)[sources]
    counts = np.bincount(found, minlength=len(samples))
    assert counts.sum() == length
    assert (counts >= np.floor(expected - 1e-6)).all() and (counts <= np.ceil(expected + 1e-6)).all()


def test_sources_of_3_2_1_get_their_share_whatever_their_size():
    sources = np.repeat([0, 1, 2], [100, 5000, 700])
    order = WeightedOrder(sources, np.ones(5800), [3, 2, 1], seed=4, length=6000)
    samples, _ = order.epoch(0)
    shares = np.bincount(sources[samples])
    assert np.abs(shares - [3000, 2000, 1000]).max() <= 1
    assert len(set(samples[sources[samples] == 0].tolist())) == 100  # all of the small one, thirty times
    assert len(set(samples[sources[samples] == 1].tolist())) == 2000  # other ones of the large one in each epoch
    again, _ = order.epoch(1)
    assert len(set(samples.tolist()) & set(again.tolist())) < 3000


def test_the_order_and_the_shares_follow_from_seed_and_epoch():
    first, again = (even(50, seed=3).epoch(2) for _ in range(2))
    assert [a.tolist() for a in first] == [a.tolist() for a in again]
    assert even(50, seed=3).epoch(3)[0].tolist() != first[0].tolist() != even(50, seed=4).epoch(2)[0].tolist()
    # A share belongs to its sample, however the list is shuffled: no two alike.
    assert len(set(first[1].tolist())) == 50


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_ranks_share_an_epoch_without_duplicates(world):
    ranks = [RankSampler(even(203), 5, rank, world) for rank in range(world)]
    assert len({len(rank) for rank in ranks}) == 1
    batches = [list(rank) for rank in ranks]
    assert all(len(each) == len(ranks[0]) == 203 // (5 * world) for each in batches)
    pairs = [pair for each in batches for batch in each for pair in batch]
    assert len({index for index, _ in pairs}) == len(pairs) == 203 // (5 * world) * 5 * world
    # Together they are the beginning of what one rank sees.
    assert sorted(pairs) == sorted(drawn(RankSampler(even(203), 5))[: len(pairs)])


@pytest.mark.parametrize("stop", [0, 1, 7, 20])
def test_it_goes_on_where_it_was_stopped(stop):
    whole = [RankSampler(even(100), 5, rank, 1) for rank in range(1)][0]
    expected = drawn(whole)
    whole.advance(len(whole))
    expected += drawn(whole)
    stopped = RankSampler(even(100), 5)
    batches = list(stopped)[:stop]
    stopped.advance(stop)
    resumed = RankSampler(even(100), 5)
    resumed.load_state_dict(stopped.state_dict())
    found = [pair for batch in batches for pair in batch] + drawn(resumed)
    assert found == expected[: len(found)] and len(found) >= 100


def test_it_goes_on_with_another_number_of_ranks():
    before = [RankSampler(even(120), 4, rank, 2) for rank in range(2)]
    done = [pair for rank in before for batch in list(rank)[:5] for pair in batch]
    before[0].advance(5)
    after = [RankSampler(even(120), 4, rank, 4) for rank in range(4)]
    for rank in after:
        rank.load_state_dict(before[0].state_dict())
    rest = [pair for rank in after for pair in drawn(rank)]
    assert sorted(done + rest) == sorted(drawn(RankSampler(even(120), 4)))


def test_the_state_of_other_samples_is_refused():
    state = RankSampler(even(100), 5).state_dict()
    for other in (even(101), even(100, seed=1), even(100, length=50)):
        with pytest.raises(ValueError, match="the data set or its weights have changed since; start a new run"):
            RankSampler(other, 5).load_state_dict(state)
    for broken in ({**state, "position": -1}, {**state, "extra": 1}, {}):
        with pytest.raises(ValueError, match="expected the state of a sampler"):
            RankSampler(even(100), 5).load_state_dict(broken)


def test_what_gives_no_batch_is_refused():
    with pytest.raises(ValueError, match=r"one batch per rank and epoch \(64 x 2\), got 100 samples"):
        RankSampler(even(100), 64, 0, 2)
    with pytest.raises(ValueError, match="rank < world"):
        RankSampler(even(100), 5, 2, 2)
    for weights in (np.zeros(5), np.array([1.0, np.nan]), np.zeros(0)):
        with pytest.raises(ValueError, match="weights of 0 and more"):
            WeightedOrder(np.zeros(len(weights), int), weights, [1.0], 0)

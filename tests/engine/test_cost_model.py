"""Which kernel a job gets, and how it is cut: what must hold on any processor."""

import itertools

import numpy as np
import pytest

import fastmlp
from fastmlp._engine.chunks import tiles_of_a_chunk
from fastmlp._engine.cost_model import choose_kernel, choose_kernels, choose_threads_per_net, rounds

F32 = np.dtype(np.float32)
XOR = fastmlp.Architecture((2, 4, 1))
WIDE = fastmlp.Architecture((784, 512, 10), output="softmax")


@pytest.mark.parametrize(("number", "width", "threads", "wanted"), [(1, 16, 2, 1), (32, 16, 2, 1), (33, 16, 2, 2)])
def test_rounds_are_those_of_the_busiest_thread(number, width, threads, wanted):
    assert rounds(number, width, threads) == wanted


def test_many_tiny_nets_are_lanes_and_a_large_one_is_units():
    assert choose_kernel(XOR, 10_000, 4, 4, F32, 2).kernel == "tiny"
    assert choose_kernel(XOR, 10_000, 4, 4, F32, 2, plain=False).kernel == "lanes"
    assert choose_kernel(XOR, 10_000, 400, 400, F32, 2).kernel == "lanes"
    assert choose_kernel(WIDE, 1, 1000, 64, F32, 2).kernel == "units"
    for asked in ("lanes", "units"):
        assert choose_kernel(WIDE, 1000, 1000, 64, F32, 2, asked).kernel == asked


def test_a_net_alone_may_have_all_threads_and_many_nets_have_one_each():
    assert choose_threads_per_net(WIDE, 1, 1000, 1000, F32, 8)[0] > 1
    assert choose_threads_per_net(WIDE, 8, 1000, 1000, F32, 8)[0] == 1
    assert choose_threads_per_net(WIDE, 1, 1000, 64, F32, 1)[0] == 1


def test_costs_grow_with_the_work():
    for sizes, samples in itertools.product(((2, 4, 1), (30, 32, 2), (64, 64, 64, 10)), (50, 500)):
        arch = fastmlp.Architecture(sizes)
        wider = fastmlp.Architecture((sizes[0], *(4 * size for size in sizes[1:-1]), sizes[-1]))
        for asked in ("lanes", "units"):
            cost = choose_kernel(arch, 100, samples, 32, F32, 2, asked).nanoseconds
            assert cost > 0
            assert choose_kernel(arch, 100, 4 * samples, 32, F32, 2, asked).nanoseconds > cost
            assert choose_kernel(wider, 100, samples, 32, F32, 2, asked).nanoseconds > cost


def test_left_over_nets_are_trained_in_another_way_only_where_that_pays():
    arch = fastmlp.Architecture((30, 32, 2))
    width = choose_kernel(arch, 1000, 500, 500, F32, 2).lanes.count
    even, odd = 2 * width, 2 * width + 1
    assert choose_kernels(arch, even, 500, 500, F32, 2, 10_000)[1] is None
    assert choose_kernels(arch, odd, 500, 500, F32, 2, 1)[1] is None
    _, rest = choose_kernels(arch, odd, 500, 500, F32, 2, 10_000)
    assert rest is not None
    assert rest.nets == 1
    assert choose_kernels(arch, odd, 500, 500, F32, 2, 10_000, "lanes")[1] is None


@pytest.mark.parametrize("tiles", [1, 2, 7, 64, 1000, 12_345])
@pytest.mark.parametrize("seconds", [1e-9, 1e-4, 1.0])
@pytest.mark.parametrize("threads", [1, 2, 13])
def test_chunks_hold_all_tiles_and_leave_no_thread_much_more_than_its_share(tiles, seconds, threads):
    size = tiles_of_a_chunk(tiles, seconds, threads, 10_000)
    assert 1 <= size <= tiles
    if seconds == 1.0 and tiles >= 2 * threads:
        assert rounds(tiles, size, threads) * size <= 1.5 * tiles / threads + 1

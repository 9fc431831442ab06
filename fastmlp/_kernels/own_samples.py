"""Samples of each net's own: lay out a chunk of them lane by lane, and know which nets have how many.

A tile's nets can have different numbers of samples. A sample beyond a net's last one is a copy of that one, so that its
outputs are no less finite; nothing of it is used: sums are taken over each net's own samples only, and a net without
samples in a minibatch does not take part in it. So a net has the bits of a call of its own. Symbols are those of
`structs`.
"""

from fastmlp._kernels import structs
from fastmlp._kernels.sums import add_compensated
from fastmlp._simd.arithmetic import broadcast, fold_compensated, select
from fastmlp._simd.jit import inline
from fastmlp._simd.memory import load, store

MOST_SETS = 4  # of nets with the same inputs, in a tile, that are laid out set by set: for more, net by net is faster


@inline
def _span(data, tiles, tile, k, lane):
    return tiles.spans[(tile * tiles.n_spans + data.first_span + k) * tiles.width + lane]


@inline
def _is_filled(tiles, tile, lane):
    return tiles.result_index[tile * tiles.width + lane] >= 0


@inline
def inputs_in(data):
    """The buffer that samples are numbered in: all samples, or a chunk of one net's own (the units kernel's)."""
    if data.by_net:
        return data.chunk.inputs
    return data.inputs


@inline
def most_samples(data, tiles, tile):
    """The greatest number of samples of a net of the tile."""
    most = data.n_samples
    if data.by_net:
        most = 1
        for lane in range(tiles.width):
            if _is_filled(tiles, tile, lane):
                most = max(most, _span(data, tiles, tile, structs.COUNT, lane))
    return most


@inline
def _order_of(data, tiles, tile, order, lane):
    """Where a net's order number `order` begins in `Epochs.orders`; −1 for unshuffled."""
    first = _span(data, tiles, tile, structs.FIRST_ORDER, lane)
    return first + order * _span(data, tiles, tile, structs.COUNT, lane) if order >= 0 else -1


@inline
def _place_at(orders, begin, position):
    """The number of a sample among those of the net."""
    return orders[begin + position] if begin >= 0 else position


@inline
def begin_pass(data, tiles, tile, start, stop):
    """Note how many samples each net has in a pass over the positions `start` to `stop` − 1, and whether it ends."""
    counts, width = data.chunk.counts, tiles.width
    for lane in range(width):
        count = _span(data, tiles, tile, structs.COUNT, lane) if _is_filled(tiles, tile, lane) else 0
        inside = max(0, min(count, stop) - start)
        counts[structs.IN_PASS * width + lane] = inside
        counts[structs.ENDING * width + lane] = 1.0 if inside > 0 and count <= stop else 0.0
        counts[structs.OF_NET * width + lane] = count


@inline
def taking_part(F, data, nets):
    """Those `nets` of a mask that have samples in this pass."""
    if data.by_net:
        return nets & (load(F, data.chunk.counts, structs.IN_PASS) > 0.0)
    return nets


@inline
def ending_of(F, data, nets):
    """Those `nets` of a mask whose last minibatch this pass is."""
    return nets & (load(F, data.chunk.counts, structs.ENDING) != 0.0)


@inline
def _note_ends(data, tiles, tile, first, count):
    """Write how many of a chunk's samples each net has, and the different such numbers in ascending order."""
    counts, ends, width = data.chunk.counts, data.chunk.ends, tiles.width
    ends[0] = ends[1] = 0
    for lane in range(width):
        counts[structs.IN_CHUNK * width + lane] = 0.0
        if _is_filled(tiles, tile, lane):
            here = min(max(0, _span(data, tiles, tile, structs.COUNT, lane) - first), count)
            counts[structs.IN_CHUNK * width + lane] = here
            n_ends = ends[0]
            place = n_ends
            while place > 0 and ends[place] > here:
                place -= 1
            if place == 0 or ends[place] != here:
                for k in range(n_ends, place, -1):
                    ends[k + 1] = ends[k]
                ends[place + 1] = here
                ends[0] = n_ends + 1


@inline
def _same(data, tiles, tile, k, lane, lead):
    return _span(data, tiles, tile, k, lane) == _span(data, tiles, tile, k, lead)


@inline
def _note_sets(data, tiles, tile, order):
    """Find the nets with the same inputs in the same order: the first lane of each such set, and its members.

    Returns the number of sets, or `MOST_SETS` + 1 if there are more.
    """
    leads, members, width, n_sets = data.chunk.leads, data.chunk.members, tiles.width, 0
    for lane in range(width):
        if _is_filled(tiles, tile, lane):
            k, found = 0, False
            while k < n_sets and not found:
                lead = leads[k]
                found = (
                    _same(data, tiles, tile, structs.COUNT, lane, lead)
                    and _same(data, tiles, tile, structs.FIRST_ROW, lane, lead)
                    and _same(data, tiles, tile, structs.FIRST_INPUT, lane, lead)
                    and (order < 0 or _same(data, tiles, tile, structs.FIRST_ORDER, lane, lead))
                )
                k += 0 if found else 1
            if not found:
                if n_sets == MOST_SETS:
                    return MOST_SETS + 1
                leads[n_sets] = lane
                for other in range(width):
                    members[n_sets * width + other] = 0.0
                n_sets += 1
            members[k * width + lane] = 1.0
    return n_sets


@inline
def _is_common(data, tiles, tile, k, lead):
    """Whether all nets of the tile have the same number k of their spans as lane `lead`."""
    common = True
    for lane in range(tiles.width):
        common = common and (not _is_filled(tiles, tile, lane) or _same(data, tiles, tile, k, lane, lead))
    return common


@inline
def _last_of(data, tiles, tile, stop, lane):
    """The last position of a net's samples in a pass to `stop`."""
    return max(0, min(_span(data, tiles, tile, structs.COUNT, lane), stop) - 1)


@inline
def gather(F, net, data, tiles, tile, orders, order, stop, first, count, n_filled):
    """Lay out a chunk of `count` samples of every net, from position `first` of its order on, of a pass to `stop`.

    Up to `n_filled` samples are copies. Nets with the same inputs in the same order are common: each number of theirs
    is read once and written to all their lanes.
    """
    n_in, n_out, n_columns, width = net.sizes[0], net.sizes[net.n_layers], data.n_columns, tiles.width
    chunk = data.chunk
    _note_ends(data, tiles, tile, first, count)
    n_sets = _note_sets(data, tiles, tile, order)
    if n_sets <= MOST_SETS:
        for k in range(n_sets):
            lane, mine = chunk.leads[k], load(F, chunk.members, k) != 0.0
            begin, last = _order_of(data, tiles, tile, order, lane), _last_of(data, tiles, tile, stop, lane)
            rows = _span(data, tiles, tile, structs.FIRST_ROW, lane)
            inputs = _span(data, tiles, tile, structs.FIRST_INPUT, lane)
            for s in range(n_filled):
                x = (inputs + data.rows[rows + _place_at(orders, begin, min(first + s, last))]) * n_columns
                target = s * n_columns
                if k == 0:
                    for i in range(n_in):
                        store(chunk.inputs, target + i, broadcast(F, data.inputs[x + i]))
                else:
                    for i in range(n_in):
                        others = load(F, chunk.inputs, target + i)
                        store(chunk.inputs, target + i, select(mine, broadcast(F, data.inputs[x + i]), others))
    lead = 0
    while lead < width - 1 and not _is_filled(tiles, tile, lead):
        lead += 1
    all_same = n_sets == 1 and _is_common(data, tiles, tile, structs.FIRST_TARGET, lead)
    all_same = all_same and _is_common(data, tiles, tile, structs.FIRST_WEIGHT, lead)
    for lane in range(lead, lead + 1 if all_same else width):
        if _is_filled(tiles, tile, lane):
            begin, last = _order_of(data, tiles, tile, order, lane), _last_of(data, tiles, tile, stop, lane)
            rows = _span(data, tiles, tile, structs.FIRST_ROW, lane)
            inputs = _span(data, tiles, tile, structs.FIRST_INPUT, lane)
            targets = _span(data, tiles, tile, structs.FIRST_TARGET, lane)
            weights = _span(data, tiles, tile, structs.FIRST_WEIGHT, lane)
            for s in range(n_filled):
                place = _place_at(orders, begin, min(first + s, last))
                row, weight = data.rows[rows + place], 1.0
                if data.weighting != structs.UNWEIGHTED:
                    weight = data.weights[weights + place]
                x, t = (inputs + row) * n_columns, (targets + row) * n_out
                if n_sets > MOST_SETS:
                    for i in range(n_in):
                        chunk.inputs[(s * n_columns + i) * width + lane] = data.inputs[x + i]
                if all_same:
                    for k in range(n_out):
                        store(chunk.targets, s * n_out + k, broadcast(F, data.targets[t + k]))
                    store(chunk.weights, s, broadcast(F, weight))
                    for other in range(width):
                        chunk.places[s * width + other] = place
                else:
                    for k in range(n_out):
                        chunk.targets[(s * n_out + k) * width + lane] = data.targets[t + k]
                    chunk.weights[s * width + lane] = weight
                    chunk.places[s * width + lane] = place


@inline
def sum_of_weights(F, data, tiles, tile, orders, order, start, stop, lanes):
    """Sum of the weights of each net's samples at the positions `start` to `stop` − 1; `lanes` is scratch."""
    if data.weighting == structs.UNWEIGHTED:
        return load(F, data.chunk.counts, structs.IN_PASS)
    inside = load(F, data.chunk.counts, structs.IN_PASS)
    total = rest = broadcast(F, 0.0)
    for position in range(start, stop):
        for lane in range(tiles.width):
            lanes[lane] = 0.0
            if _is_filled(tiles, tile, lane):
                last = max(0, _span(data, tiles, tile, structs.COUNT, lane) - 1)
                begin = _order_of(data, tiles, tile, order, lane)
                place = _place_at(orders, begin, min(position, last))
                lanes[lane] = data.weights[_span(data, tiles, tile, structs.FIRST_WEIGHT, lane) + place]
        here = inside > broadcast(F, position - start)
        new, new_rest = add_compensated(total, rest, load(F, lanes, 0))
        total, rest = select(here, new, total), select(here, new_rest, rest)
    return total


@inline
def fold_samples(F, data, total, rest, terms, s, within):
    """`fold_compensated` of the first `within` samples of a block from sample `s` on, over each net's own samples."""
    new, new_rest = fold_compensated(total, rest, terms, within)
    if data.by_net:
        if data.chunk.ends[1] < s + within:
            counts = load(F, data.chunk.counts, structs.IN_CHUNK)
            for k in range(within - 1, -1, -1):
                fewer, fewer_rest = fold_compensated(total, rest, terms, k)
                few = counts <= broadcast(F, s + k)
                new, new_rest = select(few, fewer, new), select(few, fewer_rest, new_rest)
    return new, new_rest

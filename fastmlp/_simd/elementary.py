"""Exponential, logarithm and related functions on vectors, from correctly rounded operations only.

They know nothing of nets, and give the same bits in every lane, at every width and on every processor. The
bounds in the docstrings are measured: float32 over all 2^32 inputs, float64 over 10^7 random and all special
ones (tests/simd/test_math.py), in units in the last place (ulp). NaN gives NaN. The coefficients come from
tools/minimax.py; the methods are those of Muller, Elementary Functions, 3rd edition (2016), chapters 9 to 11.
"""

from fastmlp._simd.arithmetic import absolute, bits, constant, fma, from_bits, itemsize, polynomial, select
from fastmlp._simd.jit import inline
from fastmlp._simd.sqrt import sqrt
from fastmlp._simd.types import Constants

# exp(r), whose first two coefficients are 1, for |r| <= ln 2 / 2
_EXP = Constants(
    single=(1.0, 1.0, 0.5, 0.166665181517601, 0.04166620597243309, 0.008368882350623608, 0.0013950577704235911),
    double=(
        1.0,
        1.0,
        0.5000000000000012,
        0.166666666666667,
        0.04166666666651554,
        0.008333333333307168,
        0.0013888888946981337,
        0.00019841269917463816,
        2.480148998037017e-05,
        2.7557216234235714e-06,
        2.763126592230357e-07,
        2.511788005914069e-08,
    ),
)
# these coefficients times 2^-64, for `exp_of_negative`
_EXP_SMALL = Constants(
    single=[value * 2.0**-64 for value in _EXP.single], double=[value * 2.0**-64 for value in _EXP.double]
)
# log(1 + f) = f − f²/2 + f³ c(f) for √½ <= 1 + f <= √2
_LOG = Constants(
    single=(
        0.3333331048488617,
        -0.24999986588954926,
        0.20002226531505585,
        -0.16669251024723053,
        0.14218661189079285,
        -0.12384350597858429,
        0.11872956901788712,
        -0.11789791285991669,
        0.06915392726659775,
    ),
    double=(
        0.3333333333333347,
        -0.2499999999999924,
        0.1999999999993987,
        -0.16666666666828706,
        0.14285714294500645,
        -0.12499999990653918,
        0.11111110485275583,
        -0.09999999938749458,
        0.09090934124357322,
        -0.08333358829559079,
        0.07691714279933436,
        -0.07141773318377372,
        0.06674926880408619,
        -0.06272051164149599,
        0.05821859200131685,
        -0.05315778138776547,
        0.053847827763716605,
        -0.06285832341117249,
        0.05787194725625975,
        -0.024971415349436983,
    ),
)
# tanh(x) = x + x³ c(x²) for x² <= 0.4
_TANH = Constants(
    single=(
        -0.33333277702331543,
        0.13331328332424164,
        -0.053729232400655746,
        0.020602010190486908,
        -0.0056607904843986034,
    ),
    double=(
        -0.3333333333333331,
        0.13333333333328964,
        -0.053968253965627495,
        0.021869488456866416,
        -0.008863234124556535,
        0.0035921121329181033,
        -0.0014557138552184629,
        0.0005893999027117758,
        -0.00023686542421596626,
        9.129800327725994e-05,
        -2.9921954557838972e-05,
        5.924628426344617e-06,
    ),
)
# 1 / (1 + e) for 0 <= e <= 1, to 2^-9.2; each cubic step raises the error to its third power
_RECIPROCAL = Constants(
    single=(0.998266875743866, -0.9428076148033142, 0.6655112504959106, -0.2218370884656906),
    double=(0.9982668977469671, -0.9428076256499134, 0.6655112651646448, -0.2218370883882149),
)
# sin(π r/2) = π r/2 + r³ c(r²) and cos(π r/2) = 1 + r² c(r²) for |r| <= ½; only needed in double precision
_SIN = Constants(
    single=(0.0,),
    double=(
        -0.6459640975062463,
        0.07969262624616695,
        -0.004681754135315218,
        0.0001604411847305418,
        -3.5988427375688594e-06,
        5.6919333289920206e-08,
        -6.628211960487327e-10,
    ),
)
# erf(x) = x + x c(x²) for x² <= 1
_ERF = Constants(
    single=(
        0.12837916612625122,
        -0.3761262595653534,
        0.11283600330352783,
        -0.026854444295167923,
        0.005189534742385149,
        -0.0008020834065973759,
        7.889095286373049e-05,
    ),
    double=(
        0.1283791670955126,
        -0.37612638903183754,
        0.1128379167095512,
        -0.026866170645129868,
        0.005223977625423609,
        -0.0008548327021955926,
        0.00012055332903808763,
        -1.4925647594397373e-05,
        1.6462045978746048e-06,
        -1.636464952888257e-07,
        1.4792469453107219e-08,
        -1.21649675634089e-09,
        8.710461937312833e-11,
        -4.233124650461926e-12,
    ),
)
# 1 − erf(x) = exp(−c(x)) for 1 <= x <= 4 (float64: 6), beyond which erf(x) rounds to 1
_ERFC = Constants(
    single=(
        -0.0001880294003058225,
        1.1295783519744873,
        0.6332200169563293,
        0.10841847211122513,
        -0.02520819380879402,
        0.0042045386508107185,
        -0.00044133179471828043,
        2.1686466425308026e-05,
    ),
    double=(
        2.9400112188656867e-08,
        1.1283788993559856,
        0.636620812547736,
        0.1027705825547119,
        -0.019127561510474535,
        -0.0002030457090593432,
        0.0016758367806602296,
        -0.0005531649570986978,
        -2.1417311028215554e-05,
        0.00011043504964382044,
        -6.459508297366971e-05,
        2.421642462414556e-05,
        -6.764420773851886e-06,
        1.4648479648221353e-06,
        -2.4719999398489864e-07,
        3.205545190949986e-08,
        -3.092903348316959e-09,
        2.0935975584136062e-10,
        -8.873508913786455e-12,
        1.7716284032146339e-13,
    ),
)
# exp(r) − 1 = r + r² c(r) for |r| <= ln 2 / 2
_EXPM1 = Constants(
    single=(0.5, 0.1666654348373413, 0.04166628420352936, 0.008366578258574009, 0.0013946422841399908),
    double=(
        0.5,
        0.16666666666666677,
        0.0416666666666667,
        0.008333333333321626,
        0.0013888888888866746,
        0.00019841269886131463,
        2.4801587360696127e-05,
        2.7557244212021615e-06,
        2.7557242663208874e-07,
        2.5109033490638528e-08,
        2.0924468185934663e-09,
    ),
)
_COS = Constants(
    single=(0.0,),
    double=(
        -1.2337005501361697,
        0.25366950790104803,
        -0.020863480763352923,
        0.0009192602748385965,
        -2.5202042363217047e-05,
        4.7108740984996976e-07,
        -6.386330277113097e-09,
        6.507108951158428e-11,
    ),
)

ONE = Constants(single=(1.0,), double=(1.0,))
_HALF = Constants(single=(0.5,), double=(0.5,))
_LOG2_E = Constants(single=(1.44269504,), double=(1.4426950408889634,))
# ln 2 in two parts: the upper one has few bits, so that its product with a whole number n is exact
_LN2_HIGH = Constants(single=(0.693145751953125,), double=(0.6931471803691238,))
_LN2_LOW = Constants(single=(1.42860677e-06,), double=(1.9082149292705877e-10,))

# Adding 1.5 · 2^23 (2^52) rounds to a whole number in the lowest bits. Adding another whole number biases
# those bits.
_ROUND = Constants(single=(1.5 * 2**23,), double=(1.5 * 2**52,))
_ROUND_BITS = Constants(single=(0x4B400000,), double=(0x4338000000000000,))
_ROUND_HALVES = Constants(single=(1.5 * 2**23 + 300,), double=(1.5 * 2**52 + 2200,))
_ROUND_EXPONENT = Constants(single=(1.5 * 2**23 + 127 + 64,), double=(1.5 * 2**52 + 1023 + 64,))
_ROUND_BIASED = Constants(single=(1.5 * 2**23 + 127,), double=(1.5 * 2**52 + 1023,))
_MANTISSA = Constants(single=(23,), double=(52,))
_HALF_BIAS = Constants(single=(150 - 127,), double=(1100 - 1023,))
_EXP_LOW = Constants(single=(-104.0,), double=(-746.0,))
_EXP_HIGH = Constants(single=(89.0,), double=(710.0,))

_EXPM1_LOW = Constants(single=(-20.0,), double=(-40.0,))
_ERF_HIGH = Constants(single=(4.0,), double=(6.0,))

_SQRT_HALF_BITS = Constants(single=(0x3F3504F3,), double=(0x3FE6A09E667F3BCD,))
_EXPONENT_OFFSET = Constants(single=(128,), double=(1024,))
_ROUND_OFFSET = Constants(single=(1.5 * 2**23 + 128,), double=(1.5 * 2**52 + 1024,))
_SQRT_TWO = Constants(single=(1.4142135381698608,), double=(1.4142135623730951,))
_SMALLEST_NORMAL = Constants(single=(2.0**-126,), double=(2.0**-1022,))
_SUBNORMAL_SCALE = Constants(single=(2.0**25,), double=(2.0**54,))
_SUBNORMAL_STEPS = Constants(single=(25.0,), double=(54.0,))
_SIGN = Constants(single=(0x80000000,), double=(0x8000000000000000,))
_INFINITY = Constants(single=(float("inf"),), double=(float("inf"),))
_NAN = Constants(single=(float("nan"),), double=(float("nan"),))


@inline
def _reduced(x, shifted, whole):
    """x − n ln 2, where `shifted` = n + `whole` has the whole number n."""
    n = shifted - whole
    return fma(-n, constant(x, _LN2_LOW), fma(-n, constant(x, _LN2_HIGH), x))


@inline
def exp(x):
    """e to the power x; at most 0.92 ulp off in float32, 0.9 in float64; ∞ and 0 beyond the range."""
    x = select(x < constant(x, _EXP_LOW), constant(x, _EXP_LOW), x)
    x = select(x > constant(x, _EXP_HIGH), constant(x, _EXP_HIGH), x)
    shifted = fma(x, constant(x, _LOG2_E), constant(x, _ROUND_HALVES))
    power = polynomial(_reduced(x, shifted, constant(x, _ROUND_HALVES)), _EXP)
    # 2^n in two factors, so that neither over- nor underflows before the result does
    n = bits(shifted) - constant(bits(x), _ROUND_BITS)
    half = n >> 1
    low = from_bits((half - constant(half, _HALF_BIAS)) << constant(half, _MANTISSA))
    high = from_bits((n - half - constant(half, _HALF_BIAS)) << constant(half, _MANTISSA))
    return power * low * high


@inline
def exp_of_negative(x):
    """exp(x) for x <= 0, in fewer steps: the factor 2^n is 2^64 too large, and the polynomial 2^64 too small.

    So neither is subnormal, even if their product is.
    """
    x = select(x < constant(x, _EXP_LOW), constant(x, _EXP_LOW), x)
    shifted = fma(x, constant(x, _LOG2_E), constant(x, _ROUND_EXPONENT))
    power = polynomial(_reduced(x, shifted, constant(x, _ROUND_EXPONENT)), _EXP_SMALL)
    return power * from_bits(bits(shifted) << constant(bits(x), _MANTISSA))


@inline
def _cubic_step(r, e):
    """Improve r ≈ 1 / (1 + e) by a step of Halley's iteration, without the rounding error of 1 + e."""
    h = fma(-e, r, 1.0 - r)
    return fma(r, fma(h, h, h), r)


@inline
def reciprocal_of_one_plus(e):
    """1 / (1 + e) for 0 <= e <= 1, several times faster than a division."""
    r = _cubic_step(polynomial(e, _RECIPROCAL), e)
    return _cubic_step(r, e) if itemsize(e) == 8 else r


@inline
def sigmoid(x):
    """1 / (1 + exp(−x)); at most 2.00 ulp off in float32 and float64."""
    return sigmoid_from(x, exp_of_negative(-absolute(x)))


@inline
def sigmoid_from(x, e):
    """1 / (1 + exp(−x)), given e = exp(−|x|)."""
    part = e * reciprocal_of_one_plus(e)
    return select(x < 0.0, part, 1.0 - part)


@inline
def tanh(x):
    """The hyperbolic tangent; at most 1.2 ulp off in float32, 1.4 in float64."""
    magnitude = absolute(x)
    square = x * x
    small = fma(magnitude * square, polynomial(square, _TANH), magnitude)
    e = exp_of_negative(-2.0 * magnitude)
    large = fma(-2.0 * e, reciprocal_of_one_plus(e), 1.0)
    result = select(magnitude < 0.625, small, large)
    return from_bits(bits(result) | (bits(x) & constant(bits(x), _SIGN)))


@inline
def expm1_of_negative(x):
    """exp(x) − 1 for x <= 0; at most 1.2 ulp off in float32 and float64."""
    x = select(x < constant(x, _EXPM1_LOW), constant(x, _EXPM1_LOW), x)
    shifted = fma(x, constant(x, _LOG2_E), constant(x, _ROUND_BIASED))
    r = _reduced(x, shifted, constant(x, _ROUND_BIASED))
    part = fma(r * r, polynomial(r, _EXPM1), r)
    power = from_bits(bits(shifted) << constant(bits(x), _MANTISSA))
    result = fma(power, part, power - 1.0)
    return from_bits(bits(result) | (bits(x) & constant(bits(x), _SIGN)))


@inline
def erf(x):
    """The error function 2 / √π ∫ exp(−t²) dt from 0 to x; at most 1.2 ulp off in float32 and float64."""
    magnitude = absolute(x)
    square = x * x
    small = fma(magnitude, polynomial(square, _ERF), magnitude)
    within = select(magnitude > constant(x, _ERF_HIGH), constant(x, _ERF_HIGH), magnitude)
    large = 1.0 - exp_of_negative(-polynomial(within, _ERFC))
    result = select(magnitude < 1.0, small, large)
    return from_bits(bits(result) | (bits(x) & constant(bits(x), _SIGN)))


@inline
def _log_of(f, n):
    """log((1 + f) 2^n) for √½ <= 1 + f <= √2."""
    square = f * f
    tail = fma(square * f, polynomial(f, _LOG), n * constant(f, _LN2_LOW))
    return fma(n, constant(f, _LN2_HIGH), f - fma(square, 0.5, -tail))


@inline
def log(x):
    """The natural logarithm; at most 0.83 ulp off in float32 and float64; −∞ at 0, NaN below."""
    tiny = x < constant(x, _SMALLEST_NORMAL)
    scaled = select(tiny, x * constant(x, _SUBNORMAL_SCALE), x)
    offset = bits(scaled) - constant(bits(x), _SQRT_HALF_BITS)
    k = (offset + (constant(offset, _EXPONENT_OFFSET) << constant(offset, _MANTISSA))) >> constant(offset, _MANTISSA)
    n = from_bits(k + constant(k, _ROUND_BITS)) - constant(x, _ROUND_OFFSET)
    m = from_bits(bits(scaled) - ((k - constant(k, _EXPONENT_OFFSET)) << constant(k, _MANTISSA)))
    result = _log_of(m - 1.0, n)
    result = select(tiny, fma(-constant(x, _SUBNORMAL_STEPS), _ln2(x), result), result)
    result = select(x == 0.0, -constant(x, _INFINITY), result)
    result = select(x < constant(x, _INFINITY), result, x)
    return select(x < 0.0, constant(x, _NAN), result)


@inline
def _ln2(x):
    return constant(x, _LN2_HIGH) + constant(x, _LN2_LOW)


@inline
def log1p_of_fraction(x):
    """log(1 + x) for 0 <= x <= 1; at most 1.4 ulp off in float32 and float64."""
    u = 1.0 + x
    large = u >= constant(x, _SQRT_TWO)
    scale, n = select(large, constant(x, _HALF), 1.0), select(large, constant(x, ONE), 0.0)
    # adds the rounding error of u
    return _log_of(fma(x - (u - 1.0), scale, fma(u, scale, -1.0)), n)


@inline
def normal_pair(u, v):
    """Two independent standard normal numbers from two uniform ones in (0, 1] and [0, 1); float64.

    Reference: Box and Muller, A note on the generation of random normal deviates, 1958.
    """
    radius = sqrt(-2.0 * log(u))
    quarter = 4.0 * v
    whole = (quarter + constant(v, _ROUND)) - constant(v, _ROUND)
    r = quarter - whole
    square = r * r
    sine = fma(r * square, polynomial(square, _SIN), r * 1.5707963267948966)
    cosine = fma(square, polynomial(square, _COS), 1.0)
    quadrant = bits(quarter + constant(v, _ROUND))
    odd = (quadrant & 1) != 0
    negative_sine = (quadrant & 2) != 0
    negative_cosine = ((quadrant + 1) & 2) != 0
    x = select(odd, sine, cosine)
    y = select(odd, cosine, sine)
    return radius * select(negative_cosine, -x, x), radius * select(negative_sine, -y, y)

"""The error function in NumPy, to the precision of the array's own type.

Rational Chebyshev approximations of W. J. Cody, "Rational Chebyshev approximations for the error
function", Math. Comp. 23 (1969), 631-637, with the coefficients of his CALERF (netlib/specfun,
public domain): three intervals, relative error below 1e-15 in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["erf", "erfc"]

Array = np.ndarray[Any, np.dtype[Any]]

# |x| <= 0.46875: erf(x) = x * P(x^2) / Q(x^2), highest power first.
_SMALL_P = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_SMALL_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)

# 0.46875 <= x <= 4: erfc(x) = exp(-x^2) * P(x) / Q(x).
_MIDDLE_P = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_MIDDLE_Q = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)

# 4 <= x: erfc(x) = exp(-x^2) / x * (1 / sqrt(pi) - P(1 / x^2) / Q(1 / x^2) / x^2).
_LARGE_P = (
    1.63153871373020978e-2,
    3.05326634961232344e-1,
    3.60344899949804439e-1,
    1.25781726111229246e-1,
    1.60837851487422766e-2,
    6.58749161529837803e-4,
)
_LARGE_Q = (
    1.0,
    2.56852019228982242e0,
    1.87295284992346725e0,
    5.27905102951428412e-1,
    6.05183413124413191e-2,
    2.33520497626869185e-3,
)


def _ratio(p: tuple[float, ...], q: tuple[float, ...], x: Array) -> Array:
    top, bottom = np.full_like(x, p[0]), np.full_like(x, q[0])
    for a in p[1:]:
        top *= x
        top += a
    for b in q[1:]:
        bottom *= x
        bottom += b
    top /= bottom
    return top


def _gauss(x: Array) -> Array:
    """``exp(-x^2)``, the square split into an exact head and a small tail.

    So the relative error of the exponent does not grow with ``x``.
    """
    head = np.trunc(x * 16) / 16
    y: Array = np.exp(-head * head) * np.exp((head - x) * (x + head))
    return y


def _erfc_positive(x: Array) -> Array:
    """``erfc`` for ``x >= 0.46875``."""
    gauss = _gauss(x)
    y = gauss * _ratio(_MIDDLE_P, _MIDDLE_Q, np.minimum(x, 4))
    if not (x > 4).any():
        return y
    large = np.maximum(x, 4)
    inverse = 1 / np.square(large)
    tail = gauss / large * (np.pi**-0.5 - inverse * _ratio(_LARGE_P, _LARGE_Q, inverse))
    return np.where(x > 4, tail, y)


def _block(x: Array, complement: bool) -> Array:
    size = np.abs(x)
    near = np.clip(x, -0.46875, 0.46875)
    small = near * _ratio(_SMALL_P, _SMALL_Q, near * near)
    tail = _erfc_positive(np.maximum(size, 0.46875))
    if complement:
        return np.where(size <= 0.46875, 1 - small, np.where(x > 0, tail, 2 - tail))
    return np.where(size <= 0.46875, small, np.copysign(1 - tail, x))


def _in_blocks(x: Any, complement: bool) -> Array:
    """``erf`` or ``erfc``, a few thousand numbers at a time: the temporary arrays stay in the cache."""
    x = np.asarray(x)
    dtype = x.dtype if x.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    # Beyond 30 both functions have reached their limits in float64; infinities stay out of the sums.
    flat: Array = np.clip(x.astype(dtype, copy=False), -30, 30).reshape(-1)
    for start in range(0, flat.size, 8192):
        block = flat[start : start + 8192]
        block[:] = _block(block, complement)
    return flat.reshape(x.shape)


def erf(x: Any) -> Array:
    """Error function, ``2 / sqrt(pi) * integral of exp(-t^2) from 0 to x``.

    Parameters
    ----------
    x : array_like
        float32 stays float32; everything else is computed in float64.

    Returns
    -------
    ndarray, shape of x

    Examples
    --------
    >>> erf([-30.0, 0.0, 0.5, 2.0]).round(12).tolist()
    [-1.0, 0.0, 0.520499877813, 0.995322265019]
    """
    return _in_blocks(x, complement=False)


def erfc(x: Any) -> Array:
    """Complementary error function ``1 - erf(x)`` without its cancellation for large ``x``.

    Parameters
    ----------
    x : array_like
        float32 stays float32; everything else is computed in float64.

    Returns
    -------
    ndarray, shape of x

    Examples
    --------
    >>> f"{erfc(5.0):.12e}"
    '1.537459794428e-12'
    """
    return _in_blocks(x, complement=True)

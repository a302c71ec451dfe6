"""Layers that do nothing when a model is used, only when it is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from convtranspose import arguments as args
from convtranspose import regularizers
from convtranspose.layers.base import Array, Pullback
from convtranspose.layers.configured import ElementwiseLayer, plain_pullback

__all__ = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
]


class Identity(ElementwiseLayer):
    """The inputs themselves.

    Parameters
    ----------
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Identity
    >>> Identity()(np.ones((1, 2), "float32"))
    array([[1., 1.]], dtype=float32)
    """

    def call(self, inputs: Array) -> Array:
        """The inputs themselves."""
        return inputs

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback that returns its argument."""
        x = self.prepare(inputs)
        return x, plain_pullback(x, lambda dy: dy)


class _Noise(Identity):
    """An identity that training would disturb."""

    inference_only = True


def _rate(value: Any, name: str = "rate") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a number between 0 and 1. Got {name}={value!r}.")
    return value


class Dropout(_Noise):
    """In use, the identity; training, which is not done here, would set inputs to zero.

    Parameters
    ----------
    rate : float
        Fraction of the inputs that training drops.
    noise_shape : tuple, optional
        Which of them are dropped together.
    seed : int, optional
        Of the random numbers.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Raises
    ------
    ValueError
        If ``rate`` is not between 0 and 1; at a call with ``training=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Dropout
    >>> Dropout(0.5)(np.ones((2, 3), "float32")).sum().item()
    6.0
    """

    keys = "rate seed noise_shape"
    random_state: ClassVar[bool] = True

    def __init__(
        self, rate: float, noise_shape: Sequence[int | None] | None = None, seed: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.noise_shape = noise_shape
        self.seed = seed


class AlphaDropout(Dropout):
    """In use, the identity, as :class:`Dropout`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import AlphaDropout
    >>> AlphaDropout(0.5)(np.ones((2, 3), "float32")).sum().item()
    6.0
    """

    family_keys: ClassVar[Mapping[str, str]] = {"tf_keras": "rate seed"}


class GaussianDropout(_Noise):
    """In use, the identity; training would multiply by noise.

    Parameters
    ----------
    rate : float
        Strength of the noise.
    seed : int, optional
        Of the random numbers.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import GaussianDropout
    >>> GaussianDropout(0.5)(np.ones((2, 3), "float32")).sum().item()
    6.0
    """

    keys = "rate seed"
    random_state: ClassVar[bool] = True

    def __init__(self, rate: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.seed = seed


class GaussianNoise(_Noise):
    """In use, the identity; training would add noise.

    Parameters
    ----------
    stddev : float
        Strength of the noise.
    seed : int, optional
        Of the random numbers.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import GaussianNoise
    >>> GaussianNoise(0.5)(np.ones((2, 3), "float32")).sum().item()
    6.0
    """

    keys = "stddev seed"
    random_state: ClassVar[bool] = True

    def __init__(self, stddev: float, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev
        self.seed = seed


class SpatialDropout1D(_Noise):
    """In use, the identity; training would drop whole channels.

    Parameters
    ----------
    rate : float
        Fraction of the channels that training drops.
    seed : int, optional
        Of the random numbers.
    noise_shape : None
        Found in files of Keras 2.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import SpatialDropout1D
    >>> SpatialDropout1D(0.5)(np.ones((1, 2, 3), "float32")).sum().item()
    6.0
    """

    keys = "rate seed"
    family_keys: ClassVar[Mapping[str, str]] = {"tf_keras": "rate noise_shape seed"}
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {"keras3": ("name", "dtype")}
    random_state: ClassVar[bool] = True

    def __init__(self, rate: float, seed: Any = None, noise_shape: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = _rate(rate)
        self.seed = seed
        self.noise_shape = noise_shape


class SpatialDropout2D(SpatialDropout1D):
    """In use, the identity, as :class:`SpatialDropout1D`; for images.

    Parameters
    ----------
    rate, seed, noise_shape, **kwargs
        As in :class:`SpatialDropout1D`.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import SpatialDropout2D
    >>> SpatialDropout2D(0.5)(np.ones((1, 2, 3, 1), "float32")).sum().item()
    6.0
    """

    keys = "rate seed data_format"

    def __init__(self, rate: float, data_format: str | None = None, seed: Any = None, **kwargs: Any) -> None:
        super().__init__(rate, seed, **kwargs)
        self.data_format = args.data_format(data_format)


class SpatialDropout3D(SpatialDropout2D):
    """In use, the identity, as :class:`SpatialDropout2D`; for volumes.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import SpatialDropout3D
    >>> SpatialDropout3D(0.5)(np.ones((1, 2, 3, 1, 1), "float32")).sum().item()
    6.0
    """


class ActivityRegularization(Identity):
    """The inputs themselves; ``losses`` gains a penalty on them.

    Parameters
    ----------
    l1, l2 : float, default 0
        Factors of the sums of magnitudes and of squares.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import ActivityRegularization
    >>> layer = ActivityRegularization(l1=0.5)
    >>> y = layer(np.array([[1.0, -3.0]], "float32"))
    >>> [float(loss) for loss in layer.losses]
    [2.0]
    """

    keys = "l1 l2"

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        kwargs.setdefault("activity_regularizer", regularizers.L1L2(l1=l1, l2=l2))
        super().__init__(**kwargs)
        self.l1 = l1
        self.l2 = l2

"""A regression on statistics of a whole picture, beside a model's head in its weight file.

    picture at its own size ─ statistics ─ kernel ridge regression ─┐
    frame of 640x352 ─ backbone ─ head ─────────────────────────────┴─ weighted mean ─ levels

The head sees what one view shows of a picture; the statistics are those of all of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression:
    """A kernel ridge regression, and how much its levels count."""

    mean: np.ndarray  # of each statistic over the fitted pictures, float32 [statistics]
    scale: np.ndarray  # standard deviation, float32 [statistics]
    points: np.ndarray  # standardized statistics of the pictures, float32 [pictures, statistics]
    coefficients: np.ndarray  # float32 [pictures, levels]
    offset: np.ndarray  # mean levels, far away from all pictures: float32 [levels]
    gamma: float  # of the kernel, exp(-gamma x squared distance)
    share: float  # weight of the regression's levels beside the head's, 0 to 1
    familiar: float  # a picture whose largest kernel value is below this is unlike all those fitted

    def predict(self, statistics: np.ndarray) -> np.ndarray:
        """Predict the levels of pictures: [pictures, statistics] to float32 [pictures, levels]."""
        kernel = self.similarities(statistics)
        return (np.einsum("pf,fl->pl", kernel, self.coefficients) + self.offset).astype(np.float32)

    def similarities(self, statistics: np.ndarray) -> np.ndarray:
        """Compute the kernel, 0 to 1, of pictures and the fitted ones: [pictures, fitted]."""
        points = (statistics - self.mean) / self.scale
        squares = (points**2).sum(axis=1)[:, np.newaxis] + (self.points**2).sum(axis=1)
        # Not by BLAS: OpenBLAS hangs if another thread starts a process (ffmpeg) meanwhile.
        squares -= 2 * np.einsum("ps,fs->pf", points, self.points)
        return np.exp(-self.gamma * np.maximum(squares, 0))

    def blend(self, levels: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        """Average the head's levels [pictures, levels] with those of the regression."""
        return ((1 - self.share) * levels + self.share * self.predict(statistics)).astype(
            np.float32
        )

    def is_familiar(self, statistics: np.ndarray) -> bool:
        """Whether a picture, by its statistics [statistics], is like some of those fitted."""
        return bool(self.similarities(statistics[np.newaxis]).max() >= self.familiar)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the fields as arrays of float32, for a file."""
        return {name: np.asarray(value, np.float32) for name, value in asdict(self).items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Regression":
        """Read the record from arrays.

        Raises:
            ValueError: an array is missing, of the wrong shape, or has NaN or infinite values.
        """
        names = [field.name for field in fields(cls)]
        if missing := [name for name in names if name not in arrays]:
            raise ValueError(f"the regression has no {missing[0]}")
        found = {name: np.asarray(arrays[name], np.float32) for name in names}
        pictures, statistics = np.atleast_2d(found["points"]).shape[:2]
        levels = found["offset"].shape
        expected = [
            (statistics,),
            (statistics,),
            (pictures, statistics),
            (pictures, *levels),
            levels,
        ]
        if [each.shape for each in found.values()] != [*expected, (), (), ()]:
            raise ValueError("the regression's arrays do not fit together")
        if not all(np.isfinite(each).all() for each in found.values()):
            raise ValueError("the regression has NaN or infinite values")
        gamma, share, familiar = (float(found.pop(name)) for name in names[-3:])
        return cls(**found, gamma=gamma, share=share, familiar=familiar)

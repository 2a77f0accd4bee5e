"""LASeR-JND: just noticeable difference levels predicted from one frame.

`Predictor` predicts the levels of pictures, `predict_video` those of a video and its scenes, and
`encode_video` encodes a video at its predicted levels. They raise `UserError`, and are loaded when
first used: importing this package costs nothing and changes nothing in the process.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base.errors import UserError
    from .encoding.encode import encode_video
    from .inference.predictor import Predictor
    from .inference.video import predict_video

__version__ = "0.10.0.dev0"
__all__ = ["Predictor", "UserError", "__version__", "encode_video", "predict_video"]
_MODULES = {
    "Predictor": ".inference.predictor",
    "UserError": ".base.errors",
    "encode_video": ".encoding.encode",
    "predict_video": ".inference.video",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name], __name__), name)


def __dir__() -> list[str]:
    return __all__

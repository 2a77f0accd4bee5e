"""Formatting of predictions as a JSON document, a table or text."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..base.errors import printable
from ..codec.bitstream import is_bitstream
from ..data.text import readable
from ..models.labels import UNKNOWN
from ..video.frame_codecs import CODECS
from .predictor import Predictor
from .records import Failure, Levels, Prediction, VideoPrediction

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions of one model, with the facts that describe its levels."""

    predictor: Predictor
    view: str
    unit: str | None  # given by the user, if the weights do not record it
    inputs: list[Prediction | VideoPrediction] = field(default_factory=list)
    errors: list[Failure] = field(default_factory=list)

    def add(self, result: Prediction | VideoPrediction | Failure) -> None:
        if isinstance(result, Failure):
            self.errors.append(result)
        else:
            self.inputs.append(result)

    def describe(self) -> dict[str, str]:
        """Describe the model and its levels, as in the JSON document."""
        labels = self.predictor.labels
        unit = CODECS[labels.codec].unit if labels.codec in CODECS else self.unit
        return {
            "model": self.predictor.description.title,
            "weights": readable(self.predictor.weights),
            "codec": labels.codec or UNKNOWN,
            "unit": unit or UNKNOWN,
            "labels": labels.describe() or UNKNOWN,
            "view": self.view,
        }

    def to_json(self) -> dict[str, Any]:
        """Make the document that docs/prediction.schema.json describes."""
        return {
            **self.describe(),
            "inputs": [_describe(each) for each in self.inputs],
            "errors": [
                {"file": readable(each.path), "error": str(each.error)} for each in self.errors
            ],
        }

    def to_table(self) -> "pd.DataFrame":
        """Make a table with a row per picture, per video and per scene of a video."""
        import pandas as pd

        facts = self.describe()
        model = {name: facts[name] for name in ("unit", "codec", "labels", "weights")}
        rows = []
        for each in self.inputs:
            size = {"width": each.width, "height": each.height}
            columns = {"file": readable(each.path or ""), "kind": _kind(each), **size, **model}
            rows.append({**columns, "scene": "", **each.levels})
            for number, part in enumerate(getattr(each, "scenes", []), 1):
                times = {"start": part.scene.start_seconds, "end": part.scene.end_seconds}
                rows.append({**columns, "kind": "scene", "scene": number, **times, **part.levels})
        return pd.DataFrame(rows)

    def to_text(self) -> str:
        """Make a text table, with scenes below their video, and a line that explains the levels."""
        rows: list[tuple[str, Levels]] = []
        for each in self.inputs:
            rows.append((printable(readable(each.path or "")), each.levels))
            scenes = getattr(each, "scenes", [])
            if len(scenes) > 1:
                rows += [
                    (f"  {scene.start_seconds:.1f} to {scene.end_seconds:.1f} s", part.levels)
                    for part in scenes
                    for scene in [part.scene]
                ]
        width = max([4, *(len(name) for name, _ in rows)])
        lines = ["file".ljust(width) + "".join(f"{name:>7}" for name in self.predictor.names)]
        for name, levels in rows:
            lines.append(name.ljust(width) + "".join(f"{level:7.1f}" for level in levels.values()))
        facts = self.describe()
        codec = facts["unit"] if facts["codec"] == UNKNOWN else facts["codec"]
        weights = printable(facts["weights"])
        lines.append(f"Levels: {codec}. Labels: {facts['labels']}. Weights: {weights}.")
        return "\n".join(lines)


def _describe(prediction: Prediction | VideoPrediction) -> dict[str, Any]:
    document: dict[str, Any] = {
        "file": readable(prediction.path or ""),
        "kind": _kind(prediction),
        "width": prediction.width,
        "height": prediction.height,
    }
    if isinstance(prediction, Prediction):
        if document["kind"] == "coded picture":
            document["view"] = prediction.view
        if prediction.notes:
            document["notes"] = prediction.notes
        return {**document, "levels": _round(prediction.levels)}
    return {
        **document,
        "frames": prediction.frames,
        "seconds": round(prediction.scenes[-1].scene.end_seconds, 3),
        "levels": _round(prediction.levels),
        "scenes": [
            {
                "first_frame": each.scene.first,
                "last_frame": each.scene.end - 1,
                "start": round(each.scene.start_seconds, 6),
                "end": round(each.scene.end_seconds, 6),
                "sampled_frames": each.sampled_frames,
                "levels": _round(each.levels),
            }
            for each in prediction.scenes
        ],
    }


def _kind(prediction: Prediction | VideoPrediction) -> str:
    if isinstance(prediction, VideoPrediction):
        return "video"
    return "coded picture" if prediction.path and is_bitstream(prediction.path) else "picture"


def _round(levels: Levels) -> Levels:
    return {name: round(level, 3) for name, level in levels.items()}

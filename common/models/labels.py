"""Meaning of JND levels: their codec, and whether they come from viewers or from VMAF."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..base.constants import QP, QUALITY

UNKNOWN = "not recorded in the weight file"
VIEWERS, PROXY = "viewers", "proxy"
THRESHOLDS = (94.5, 91.25, 87.0)  # default VMAF thresholds of the proxy labels JND1 to JND3
# The same of JPEG, for which viewers tolerate more.
JPEG_THRESHOLDS = (88.5, 84.5, 81.0)
DEFAULT_THRESHOLDS = {QP: THRESHOLDS, QUALITY: JPEG_THRESHOLDS}
# The kind of proxy labels as versions up to 0.9 wrote it.
_PROXY_OF_0_9 = re.compile(r"objective stand-in \(VMAF below ([\d., ]+)\)")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Meaning of the levels in a dataset, or of those that a model was trained on."""

    codec: str = ""  # `constants.QP` or `constants.QUALITY`; empty if unknown
    kind: str = ""  # VIEWERS, PROXY, or a user's own word from a manifest; empty if unknown
    thresholds: tuple[float, ...] = ()  # of proxy labels: the VMAF thresholds of JND1 to JND3

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> "Labels":
        """Read the record from a manifest's row or a weight file's attributes."""
        kind, thresholds = fields.get("level_kind", ""), fields.get("thresholds", "")
        if match := _PROXY_OF_0_9.fullmatch(kind):
            kind, thresholds = PROXY, match[1].replace(", ", "/")
        numbers = tuple(map(float, thresholds.split("/"))) if thresholds else ()
        return cls(codec=fields.get("codec", ""), kind=kind, thresholds=numbers)

    def to_fields(self) -> dict[str, str]:
        """Make the fields that `from_fields` reads, without empty ones."""
        thresholds = "/".join(f"{threshold:g}" for threshold in self.thresholds)
        fields = {"codec": self.codec, "level_kind": self.kind, "thresholds": thresholds}
        return {name: text for name, text in fields.items() if text}

    @property
    def is_proxy(self) -> bool:
        """Whether these labels are known not to come from viewers."""
        return self.kind not in (VIEWERS, "")

    def describe(self) -> str:
        """Describe the origin of the labels for a table or report; empty if unknown."""
        if not self.is_proxy:
            return "viewers' judgements" if self.kind else ""
        kind = self.kind
        if kind == PROXY:
            limits = ", ".join(f"{threshold:g}" for threshold in self.thresholds)
            kind = f"proxy labels (VMAF{f' below {limits}' if limits else ''})"
        return f"{kind}, not viewers' judgements"

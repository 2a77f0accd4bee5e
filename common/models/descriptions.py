"""The six models, side by side. They differ in this table and in nothing else.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

from dataclasses import dataclass

from ..base.constants import LEVELS


@dataclass(frozen=True, kw_only=True)
class Description:
    """One of the models.

    Attributes:
        name: what the weight files and the script are called.
        title: its name in the paper.
        head: a key of `heads.HEADS`.
        sees: what the head takes from the backbone, "latent" or "reconstruction".
        multitask: it predicts all three levels from three backbones, rather than one from one.
        end_to_end: the backbone starts from ImgReconstruction.h5, is trained too, and has the JND
            frame as a second output; otherwise the backbones are frozen JNDkReconstruction.h5.
    """

    name: str
    title: str
    head: str
    sees: str
    multitask: bool = False
    end_to_end: bool = False

    @property
    def test_batch(self) -> int:
        """Frames per batch when testing.

        A head on reconstructions takes some 90 billion multiply-accumulates per frame and half a
        gigabyte for its first layer: one frame at a time fills any machine.
        """
        return 8 if self.sees == "latent" else 1

    @property
    def backbone_option(self) -> str:
        """The command-line option for the folder of the backbones' weight files."""
        return "ImgReconstrution_Model_Path" if self.end_to_end else "JND_Recon_Models_Path"

    def weight_files(self, level: str | None) -> list[str]:
        """Name this model's weight files: the published one, then the one that training writes."""
        return [f"{self.name}{level or ''}.h5", f"BestModel{level or ''}.h5"]

    def backbone_files(self, level: str | None) -> list[str]:
        """Name the weight files that training starts from, one per backbone."""
        if self.end_to_end:
            return ["ImgReconstruction.h5"]
        return [f"{each}Reconstruction.h5" for each in (LEVELS if self.multitask else [level])]


_TABLE = [
    Description(name="LAT", title="LAT", head="lat", sees="latent"),
    Description(name="REC", title="REC", head="rec", sees="reconstruction"),
    Description(name="E2ELAT", title="E2E-LAT", head="lat", sees="latent", end_to_end=True),
    Description(name="E2EREC", title="E2E-REC", head="rec", sees="reconstruction", end_to_end=True),
    Description(name="MJLAT", title="MJ-LAT", head="lat", sees="latent", multitask=True),
    Description(name="MJREC", title="MJ-REC", head="rec", sees="reconstruction", multitask=True),
]
MODELS = {description.name: description for description in _TABLE}

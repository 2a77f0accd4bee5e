"""Table of the six models, which contains all differences between them.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

from dataclasses import dataclass

from ..base.constants import LEVELS


@dataclass(frozen=True, kw_only=True)
class Description:
    """One of the models.

    Attributes:
        name: the name of its weight files and its script.
        title: its name in the paper.
        head: a key of `heads.HEADS`.
        sees: the head's input from the backbone, "latent" or "reconstruction".
        multitask: whether it predicts all three levels from three backbones, or one from one.
        end_to_end: whether the backbone is trained too: it then starts from ImgReconstruction.h5,
            and its reconstruction, the JND frame, is another output of the model. Otherwise the
            backbones are frozen, from JNDkReconstruction.h5.
    """

    name: str
    title: str
    head: str
    sees: str
    multitask: bool = False
    end_to_end: bool = False

    @property
    def test_batch(self) -> int:
        """Number of frames per batch when testing.

        A head on reconstructions needs about 90 billion multiply-accumulates per frame, and half a
        gigabyte for its first layer, so larger batches would gain nothing.
        """
        return 8 if self.sees == "latent" else 1

    @property
    def backbone_option(self) -> str:
        """The name of the command-line option for the folder of the backbones' weight files."""
        return "ImgReconstrution_Model_Path" if self.end_to_end else "JND_Recon_Models_Path"

    def weight_files(self, level: str | None, jpeg: bool = False) -> list[str]:
        """Name this model's weight files: as published, and as training writes it.

        Args:
            jpeg: whether to name the published file of JPEG qualities instead of QPs.
        """
        published = f"{self.name}{level or ''}{'-jpeg' if jpeg else ''}.h5"
        return [published, f"BestModel{level or ''}.h5"]

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

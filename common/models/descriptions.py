"""The six models, side by side. They differ in this table and in nothing else.

Source: Nami, Pakdaman, Hashemi, Shirmohammadi, Gabbouj, "Lightweight Multitask Learning for Robust
JND Prediction using Latent Space and Reconstructed Frames", IEEE TCSVT 2024.
"""

from dataclasses import dataclass

from ..base.constants import LEVELS


@dataclass(frozen=True)
class Description:
    """What makes a model this one of the six."""

    name: str  # as the weight files are called
    title: str  # as the paper calls it
    sees: str  # what the head looks at: 'latent' or 'reconstruction' of the backbone
    multitask: bool  # all three levels from three backbones, else one level from one
    # The backbone starts from ImgReconstruction.h5, trains along, and has the JND frame as a second
    # output; else the backbones are the frozen JNDkReconstruction.h5.
    end_to_end: bool
    test_batch: int  # frames per batch when testing

    @property
    def backbone_option(self) -> str:
        """The command-line option for the folder of the backbones' weight files."""
        return "ImgReconstrution_Model_Path" if self.end_to_end else "JND_Recon_Models_Path"

    def weight_files(self, level: str | None) -> list[str]:
        """Names of this model's weight files: the published one, then what training writes."""
        return [f"{self.name}{level or ''}.h5", f"BestModel{level or ''}.h5"]

    def backbone_files(self, level: str | None) -> list[str]:
        """Names of the backbones' weight files that training starts from, one per backbone."""
        if self.end_to_end:
            return ["ImgReconstruction.h5"]
        return [f"{each}Reconstruction.h5" for each in (LEVELS if self.multitask else [level])]


# A head on reconstructions takes some 90 billion multiply-accumulates per frame and half a gigabyte
# for its first layer: one frame at a time fills any machine.
MODELS = {
    model.name: model
    for model in (
        Description("LAT", "LAT", "latent", False, False, 8),
        Description("REC", "REC", "reconstruction", False, False, 1),
        Description("E2ELAT", "E2E-LAT", "latent", False, True, 8),
        Description("E2EREC", "E2E-REC", "reconstruction", False, True, 1),
        Description("MJLAT", "MJ-LAT", "latent", True, False, 8),
        Description("MJREC", "MJ-REC", "reconstruction", True, False, 1),
    )
}
DEFAULT_MODEL = "MJLAT"  # whose weights come with the project

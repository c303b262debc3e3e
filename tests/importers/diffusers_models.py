"""Write a pipeline of diffusers: run in a Python that has it.

python diffusers_models.py FOLDER
"""

import sys

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel


def main(folder):
    """A small network, random weights of a fixed seed, with attention."""
    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=32, in_channels=2, out_channels=2, layers_per_block=1,
        block_out_channels=(8, 16), norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    scheduler = DDPMScheduler(
        num_train_timesteps=500, beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
    )  # fmt: skip
    DDPMPipeline(net, scheduler).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])

"""Writes a folder's weights as one file, with the names that the models' makers gave them.

Written from the makers' modules (CompVis/latent-diffusion, OpenCLIP, Stability's sd3.5 and
black-forest-labs/flux), the other way round than diffusers reads them.
"""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

UNET = "model.diffusion_model."
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def weights_of(folder, part):
    (file,) = Path(folder, part).glob("*.safetensors")
    return load_file(file)


def _resnet(name):
    first, _, rest = name.partition(".")
    return f"{RESNET[first]}.{rest}"


def unet_names(weights, layers=1):
    """From the names of UNet2DConditionModel to those of latent-diffusion's UNetModel."""
    attended = {".".join(n.split(".")[:2]) for n in weights if ".attentions." in n}

    def name_of(name):
        for new, old in ENDS.items():
            if name.startswith(f"{new}."):
                return old + name.removeprefix(new)
        side, rest = name.split(".", 1)
        if side == "mid_block":
            kind, i, rest = rest.split(".", 2)
            place = 2 * int(i) if kind == "resnets" else 1
            return f"middle_block.{place}.{_resnet(rest) if kind == 'resnets' else rest}"
        block, kind, i, rest = rest.split(".", 3)
        first = int(block) * (layers + 1) + int(i)
        if side == "down_blocks":
            if kind == "downsamplers":
                return f"input_blocks.{(int(block) + 1) * (layers + 1)}.0.op.{rest[5:]}"
            place = f"input_blocks.{1 + first}"
        else:
            place = f"output_blocks.{first}"
            if kind == "upsamplers":
                last = (int(block) + 1) * (layers + 1) - 1
                where = 2 if f"{side}.{block}" in attended else 1
                return f"output_blocks.{last}.{where}.{rest}"
        return f"{place}.0.{_resnet(rest)}" if kind == "resnets" else f"{place}.1.{rest}"

    return {name_of(name): tensor for name, tensor in weights.items()}


def vae_names(weights, levels):
    """From the names of AutoencoderKL to those of latent-diffusion's, which attends by convs."""
    attention = {
        "group_norm": "norm",
        "to_q": "q",
        "to_k": "k",
        "to_v": "v",
        "to_out.0": "proj_out",
    }

    def name_of(name):
        name = name.replace("conv_norm_out", "norm_out")
        name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)

        def up(match):
            rest = "block." if match[2] == "resnets." else "upsample."
            return f"up.{levels - 1 - int(match[1])}.{rest}"

        name = re.sub(r"up_blocks\.(\d)\.(resnets\.|upsamplers\.0\.)", up, name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        for new, old in attention.items():
            name = name.replace(f"mid_block.attentions.0.{new}.", f"mid.attn_1.{old}.")
        return name.replace("conv_shortcut", "nin_shortcut")

    named = {name_of(name): tensor for name, tensor in weights.items()}
    return {
        name: t[..., None, None] if "attn_1" in name and t.ndim == 2 else t
        for name, t in named.items()
    }


def clip_names(weights):
    """Those of transformers before it dropped the first word."""
    bare = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    return {n if n == "text_projection.weight" else f"text_model.{n}": t for n, t in bare.items()}


def open_clip_names(weights):
    """From the names of CLIPTextModel to those of OpenCLIP's, with q, k and v in one matrix."""
    weights = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    simple = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    inner = {
        "layer_norm1": "ln_1",
        "layer_norm2": "ln_2",
        "mlp.fc1": "mlp.c_fc",
        "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }
    found = {}
    for name, tensor in weights.items():
        if name in simple:
            found[simple[name]] = tensor
        elif name == "text_projection.weight":
            found["text_projection"] = tensor.T.contiguous()
        else:
            _, _, layer, rest = name.split(".", 3)
            to = f"transformer.resblocks.{layer}"
            module, _, kind = rest.rpartition(".")
            if module == "self_attn.q_proj":
                three = [weights[name.replace("q_proj", f"{one}_proj")] for one in "qkv"]
                found[f"{to}.attn.in_proj_{kind}"] = torch.cat(three)
            elif module in inner:
                found[f"{to}.{inner[module]}.{kind}"] = tensor
    return found


def _swapped(tensor):
    return torch.cat(tensor.chunk(2)[::-1])


def mmdit_names(weights):
    """From the names of SD3Transformer2DModel to those of Stability's MMDiT."""
    ends = {
        "pos_embed.pos_embed": "pos_embed",
        "pos_embed.proj": "x_embedder.proj",
        "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
        "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
        "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
        "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
        "context_embedder": "context_embedder",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
    }
    inner = {
        "norm1.linear": "x_block.adaLN_modulation.1",
        "norm1_context.linear": "context_block.adaLN_modulation.1",
        "attn.norm_q": "x_block.attn.ln_q",
        "attn.norm_k": "x_block.attn.ln_k",
        "attn.norm_added_q": "context_block.attn.ln_q",
        "attn.norm_added_k": "context_block.attn.ln_k",
        "attn.to_out.0": "x_block.attn.proj",
        "attn.to_add_out": "context_block.attn.proj",
        "ff.net.0.proj": "x_block.mlp.fc1",
        "ff.net.2": "x_block.mlp.fc2",
        "ff_context.net.0.proj": "context_block.mlp.fc1",
        "ff_context.net.2": "context_block.mlp.fc2",
    }
    joined = {"attn.to_q": "x_block", "attn.add_q_proj": "context_block"}
    last = max(int(name.split(".")[1]) for name in weights if name.startswith("transformer_blocks"))
    found = {}
    for name, tensor in weights.items():
        if not name.startswith("transformer_blocks."):
            end = next(one for one in ends if name == one or name.startswith(f"{one}."))
            value = _swapped(tensor) if end == "norm_out.linear" else tensor
            found[ends[end] + name.removeprefix(end)] = value
            continue
        _, block, rest = name.split(".", 2)
        module, _, kind = rest.rpartition(".")
        if module in joined:
            three = [weights[name.replace("_q", f"_{one}")] for one in "qkv"]
            found[f"joint_blocks.{block}.{joined[module]}.attn.qkv.{kind}"] = torch.cat(three)
        elif module in inner:
            swap = module == "norm1_context.linear" and int(block) == last
            value = _swapped(tensor) if swap else tensor
            found[f"joint_blocks.{block}.{inner[module]}.{kind}"] = value
    return found


def flux_names(weights):
    """From the names of FluxTransformer2DModel to those of black-forest-labs' Flux."""
    ends = {
        "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
        "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
        "context_embedder": "txt_in",
        "x_embedder": "img_in",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
    }
    double = {
        "norm1.linear": "img_mod.lin",
        "norm1_context.linear": "txt_mod.lin",
        "attn.norm_q": "img_attn.norm.query_norm",
        "attn.norm_k": "img_attn.norm.key_norm",
        "attn.norm_added_q": "txt_attn.norm.query_norm",
        "attn.norm_added_k": "txt_attn.norm.key_norm",
        "ff.net.0.proj": "img_mlp.0",
        "ff.net.2": "img_mlp.2",
        "ff_context.net.0.proj": "txt_mlp.0",
        "ff_context.net.2": "txt_mlp.2",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
    }
    single = {
        "norm.linear": "modulation.lin",
        "attn.norm_q": "norm.query_norm",
        "attn.norm_k": "norm.key_norm",
        "proj_out": "linear2",
    }
    found = _flux_names(weights, ends, double, single)
    for name in weights:
        if name.startswith("single_transformer_blocks.") and ".attn.to_q." in name:
            four = [weights[name.replace("to_q", f"to_{one}")] for one in "qkv"]
            four.append(weights[name.replace("attn.to_q", "proj_mlp")])
            to = name.replace("single_transformer_blocks", "single_blocks")
            found[to.replace("attn.to_q", "linear1")] = torch.cat(four)
    return found


def flux2_names(weights):
    """From the names of Flux2Transformer2DModel to those of black-forest-labs' Flux2."""
    ends = {
        "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
        "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
        "single_stream_modulation.linear": "single_stream_modulation.lin",
        "context_embedder": "txt_in",
        "x_embedder": "img_in",
        "norm_out.linear": "final_layer.adaLN_modulation.1",
        "proj_out": "final_layer.linear",
    }
    double = {
        "attn.norm_q": "img_attn.norm.query_norm",
        "attn.norm_k": "img_attn.norm.key_norm",
        "attn.norm_added_q": "txt_attn.norm.query_norm",
        "attn.norm_added_k": "txt_attn.norm.key_norm",
        "ff.linear_in": "img_mlp.0",
        "ff.linear_out": "img_mlp.2",
        "ff_context.linear_in": "txt_mlp.0",
        "ff_context.linear_out": "txt_mlp.2",
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
    }
    single = {
        "attn.to_qkv_mlp_proj": "linear1",
        "attn.to_out": "linear2",
        "attn.norm_q": "norm.query_norm",
        "attn.norm_k": "norm.key_norm",
    }
    return _flux_names(weights, ends, double, single)


def _flux_names(weights, ends, double, single):
    """Of both: what begins and ends the network, and its blocks of two streams and of one."""
    found = {}
    for name, tensor in weights.items():
        place, _, rest = name.partition(".")
        if not place.endswith("transformer_blocks"):
            end = next(one for one in ends if name.startswith(f"{one}."))
            value = _swapped(tensor) if end == "norm_out.linear" else tensor
            found[ends[end] + name.removeprefix(end)] = value
            continue
        block, _, rest = rest.partition(".")
        module, _, kind = rest.rpartition(".")
        kind = "scale" if "attn.norm_" in module else kind
        first, names = ("double", double) if place == "transformer_blocks" else ("single", single)
        for q, stream in (("attn.to_q", "img"), ("attn.add_q_proj", "txt")):
            if module == q and first == "double":
                three = [weights[name.replace("_q", f"_{one}")] for one in "qkv"]
                found[f"{first}_blocks.{block}.{stream}_attn.qkv.{kind}"] = torch.cat(three)
        if module in names:
            found[f"{first}_blocks.{block}.{names[module]}.{kind}"] = tensor
    return found


def sd_file(folder, file, layers=1, levels=3, open_clip=False):
    """Stable Diffusion 1, or 2 where its text encoder has OpenCLIP's names."""
    text = weights_of(folder, "text_encoder")
    if open_clip:
        encoder = {f"model.{name}": t for name, t in open_clip_names(text).items()}
    else:
        encoder = {f"transformer.{name}": t for name, t in clip_names(text).items()}
        encoder["transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return _save(
        file,
        {UNET: unet_names(weights_of(folder, "unet"), layers)},
        {"first_stage_model.": vae_names(weights_of(folder, "vae"), levels)},
        {"cond_stage_model.": encoder},
        {"": {"alphas_cumprod": torch.ones(1000), "model_ema.decay": torch.ones(())}},
    )


def sdxl_file(folder, file, layers=1, levels=3):
    first, second = (weights_of(folder, f"text_encoder{suffix}") for suffix in ("", "_2"))
    return _save(
        file,
        {UNET: unet_names(weights_of(folder, "unet"), layers)},
        {"first_stage_model.": vae_names(weights_of(folder, "vae"), levels)},
        {"conditioner.embedders.0.transformer.": clip_names(first)},
        {"conditioner.embedders.1.model.": open_clip_names(second)},
        {"conditioner.embedders.1.model.": {"logit_scale": torch.ones(())}},
    )


def sd3_file(folder, file, levels=3):
    """With T5 where the folder has it."""
    encoders = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", "text_encoder_3": "t5xxl"}
    texts = [
        {f"text_encoders.{name}.transformer.": weights_of(folder, part)}
        for part, name in encoders.items()
        if Path(folder, part).is_dir()
    ]
    return _save(
        file,
        {UNET: mmdit_names(weights_of(folder, "transformer"))},
        {"first_stage_model.": vae_names(weights_of(folder, "vae"), levels)},
        *texts,
    )


def _save(file, *parts):
    weights = {
        prefix + name: tensor.clone().contiguous()
        for part in parts
        for prefix, tensors in part.items()
        for name, tensor in tensors.items()
    }
    save_file(weights, file)
    return file

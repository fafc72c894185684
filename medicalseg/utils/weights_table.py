"""Weights that PaddleSeg3D and PaddleSeg publish: names and addresses. Nothing of them is part of this project."""

from __future__ import annotations

from dataclasses import dataclass

_BUCKET = "https://bj.bcebos.com/paddleseg/"
_HOST = "https://paddleseg.bj.bcebos.com/"


@dataclass(frozen=True)
class PublishedWeights:
    """One published file.

    Attributes:
        name: what `medicalseg weights get` and `pretrained` call it.
        network: type of the network that it fits; of an encoder the family.
        data: what it was trained on.
        url: where its publisher has it: a `.pdparams` file, or an archive that holds one.
        config: configuration whose network it fits; empty for an encoder.
        dice: percent, as published: soft Dice on PaddleSeg3D's terms, of nnU-Net hard Dice; empty where there is none.
    """

    name: str
    network: str
    data: str
    url: str
    config: str = ""
    dice: str = ""


def _vnet(data: str, folder: str, stem: str, dice: str) -> PublishedWeights:
    url = f"{_BUCKET}paddleseg3d/{folder}/{stem}/model.pdparams"
    return PublishedWeights(stem, "VNet", data, url, f"configs/{folder}/{stem}.yml", dice)


def _synapse(network: str, stem: str, dice: str) -> PublishedWeights:
    url = f"{_HOST}paddleseg3d/synapse/abdomen/{stem}/model.pdparams"
    return PublishedWeights(stem, network, "Synapse abdomen, 9 classes", url, f"configs/synapse/{stem}.yml", dice)


def _nnunet(stage: str, folder: str, fold: int, dice: str) -> PublishedWeights:
    stem = f"nnunet_{stage}_msd_lung_fold{fold}"
    url = f"{_BUCKET}paddleseg3d/msd_lung/{folder}_fold{fold}/model.pdparams"
    return PublishedWeights(stem, "NNUNet", "MSD lung, 2 classes", url, f"configs/nnunet/msd_lung/{stem}.yml", dice)


def _mix_transformer(size: str) -> PublishedWeights:
    url = f"{_BUCKET}dygraph/backbone/mix_vision_transformer_{size.lower()}.tar.gz"
    return PublishedWeights(f"MixVisionTransformer_{size}", "MixVisionTransformer", "ImageNet (encoder)", url)


def _swin(size: str, more: str = "") -> PublishedWeights:
    name = f"SwinTransformer_{size}"
    url = f"{_HOST}paddleseg3d/backbone/{name}{more}_pretrained.pdparams"
    return PublishedWeights(name, "SwinTransformer", "ImageNet (encoder)", url)


_SPINE, _LUNG = "MRISpineSeg, 20 classes", "LungCoronavirus, 3 classes"
_TRANSUNET = "transunet_abdomen_224_224_1_14k_1e-2"

PUBLISHED: tuple[PublishedWeights, ...] = (
    _vnet(_SPINE, "mri_spine_seg", "vnet_mri_spine_seg_512_512_12_15k_1e-1", "74.41 / 88.17"),
    _vnet(_SPINE, "mri_spine_seg", "vnet_mri_spine_seg_512_512_12_15k_5e-1", "74.69 / 89.14"),
    _vnet(_LUNG, "lung_coronavirus", "vnet_lung_coronavirus_128_128_128_15k_1e-3", "97.04"),
    _vnet(_LUNG, "lung_coronavirus", "vnet_lung_coronavirus_128_128_128_15k_3e-4", "92.70"),
    PublishedWeights(
        "unetr_msd_brain_seg_1e-4",
        "UNETR",
        "MSD brain tumour, 4 classes",
        f"{_BUCKET}paddleseg/medicalseg/msd_brain_seg/unetr_msd_brain_seg_1e-4/model.pdparams",
        "configs/msd_brain_seg/unetr_msd_brain_seg_1e-4.yml",
        "71.8",
    ),
    _synapse("SwinUNet", "swinunet_abdomen_224_224_1_14k_5e-2", "82.06"),
    _synapse("TransUNet", _TRANSUNET, "81.05"),
    PublishedWeights(
        f"{_TRANSUNET}_pretrain",
        "TransUNet",
        "what its training started from",
        f"{_HOST}paddleseg3d/synapse/abdomen/{_TRANSUNET}/pretrain_model/model.pdparams",
        f"configs/synapse/{_TRANSUNET}.yml",
    ),
    PublishedWeights(
        "nnformer_acdc_160_160_14_250k_4e-4",
        "nnFormer",
        "ACDC, 4 classes",
        f"{_HOST}paddleseg3d/acdc/nnformer_acdc_160_160_14_250k_4e-4/model.pdparams",
        "configs/acdc/nnformer_acdc_160_160_14_250k.yml",
        "91.78",
    ),
    *(_nnunet("2d", "2d", fold, "53.5") for fold in range(5)),
    *(_nnunet("3dcascade_lowres", "3dlowres", fold, "66.6") for fold in range(5)),
    *(_mix_transformer(f"B{number}") for number in range(6)),
    _swin("tiny_patch4_window7_224"),
    _swin("small_patch4_window7_224"),
    _swin("base_patch4_window7_224"),
    _swin("base_patch4_window12_384"),
    _swin("large_patch4_window7_224", "_22kto1k"),
    _swin("large_patch4_window12_384", "_22kto1k"),
)
"""The Dice of the nnU-Net folds is that of all five together."""

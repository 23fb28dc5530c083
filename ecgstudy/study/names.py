"""What settings are called where a person reads them."""

from __future__ import annotations

NAMES = {"mhsa": "MHSA (full)", "bi_level_routing": "bi-level routing", "hilo": "HiLo",
         "inception_former": "InceptionFormer", "resnet18": "ResNet18", "resnet34": "ResNet34", "mobilenetv2": "MobileNetV2",
         "inception_next": "InceptionNext", "mhsa_linear": "InceptionMHSALinear", "shunt_sa": "InceptionShuntSA",
         "hilo_sa": "InceptionHiLoSA", "sandwich": "SandwichNet", "sandwich_pro": "SandwichProNet",
         "crossed_shunted": "InceptionNeXt + Shunted",
         "cpe": "CPE", "lepe": "LePE, 3 tokens", "lepe_5": "LePE, 5 tokens", "value": "V + DWConv(V)"}


def readable(name: str) -> str:
    """A setting's value as a person writes it."""
    return NAMES.get(name, name.replace("_", " "))

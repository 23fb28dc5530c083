"""What settings are called where a person reads them."""

from __future__ import annotations

NAMES = {"mhsa": "MHSA (full)", "bi_level_routing": "bi-level routing", "hilo": "HiLo",
         "cpc_ssl": "CPC network",
         "inception_former": "InceptionFormer", "resnet18": "ResNet18", "resnet34": "ResNet34", "mobilenetv2": "MobileNetV2",
         "inception_next": "InceptionNext", "mhsa_linear": "InceptionMHSALinear", "shunt_sa": "InceptionShuntSA",
         "hilo_sa": "InceptionHiLoSA", "sandwich": "SandwichNet", "sandwich_pro": "SandwichProNet",
         "crossed_shunted": "InceptionNeXt + Shunted",
         "stft_resnet34": "ResNet34 on STFT", "two_stream": "Two streams",
         "im_ecg": "IM-ECG", "se_ecgnet": "SE-ECGNet", "ecgnet": "ECGNet", "multi_res_trans": "MRTNet", "dual_path_rnn": "Dual-path RNN",
         "mina": "MINA", "clocs": "CLOCS", "progressive_gated_transformer": "MPGT", "mvms_ecg": "MVMS-Net",
         "multimodal_mil": "MAMIL",
         "dual_branch_token_select": "Dual-branch selection", "multi_module": "Multi-module", "lightweight_transformer": "LightConv",
         "st_mem": "ST-MEM", "mvkt_ecg": "MVKT-ECG", "xresnet1d": "XResNet1d-50",
         "cpe": "CPE", "lepe": "LePE, 3 tokens", "lepe_5": "LePE, 5 tokens", "value": "V + DWConv(V)"}

# The runs of page 12 are named METHOD_way_percent, from scratch NETWORK_scratch_percent
METHOD_NAMES = {"cpc": "CPC", "cmsc": "CMSC", "cmlc": "CMLC", "cmsmlc": "CMSMLC", "st_mem": "ST-MEM"}
NAMES |= {f"{method}_{way}_{percent}": f"{name}, {said}, {percent} %"
          for method, name in (METHOD_NAMES | {"cpc_ssl": "CPC network", "clocs": "CLOCS"}).items()
          for way, said in (("probe", "head alone"), ("tuned", "tuned"), ("scratch", "from scratch")) for percent in (1, 10, 100)}


def readable(name: str) -> str:
    """A setting's value as a person writes it."""
    return NAMES.get(name, name.replace("_", " "))

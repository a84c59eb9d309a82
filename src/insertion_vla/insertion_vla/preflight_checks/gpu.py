"""Memory of the GPU, when the launch is going to compute there; torch is loaded for this and for nothing else."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_policy.registry import checkpoint_folder

from insertion_vla.preflight_checks.checkpoint import backbone_folder
from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

GB = 1e9
OVERHEAD_GB = 1.0  # of each process: the CUDA context, workspaces and activations
_BUILD = "install the CUDA build of PyTorch and the NVIDIA driver, or set action_expert.run.device to cpu"


def check_gpu(selection: Selection) -> list[Finding]:
    """Free memory against the weights of what runs there."""
    wanted = list(_users(selection))
    if not wanted:
        return [Finding("GPU", "skipped", "not asked for: the policy runs on the CPU")]
    import torch

    users = " and ".join(user for user, _, _ in wanted)
    must = any(device != "auto" for _, device, _ in wanted)
    if not torch.cuda.is_available():
        build = "none is visible" if torch.version.cuda else f"PyTorch {torch.__version__} here is a build for CPUs"
        return [Finding("GPU", "fix" if must else "warning", f"{users} should run on a GPU: {build}", _BUILD)]
    need_gb = sum(OVERHEAD_GB + weights / GB for _, _, weights in wanted)
    free, total = torch.cuda.mem_get_info()
    figures = (
        f"{torch.cuda.get_device_name()}: {free / GB:.1f} of {total / GB:.1f} GB free, "
        f"about {need_gb:.1f} GB for {users}"
    )
    if free / GB < need_gb:
        return [Finding("GPU", "fix", figures, "end other programs on the GPU (nvidia-smi lists them)")]
    return [Finding("GPU", "ok", figures)]


def _users(selection: Selection) -> Iterator[tuple[str, str, int]]:
    """(node, device, bytes of its weights) of the nodes that compute on a GPU."""
    if selection.scripted or (folder := checkpoint_folder(selection.policy)) is None:
        return
    run = selection.parameters("action_expert").run
    if run.device == "cuda" or run.backend == "cuda_graph":
        yield "action_expert", "cuda", _weights(folder)
    wanted = load_config(folder).backbone
    if wanted is None or not wanted.source:
        return
    place = backbone_folder(folder, wanted)
    content = yaml.safe_load((place / "config.yaml").read_text(encoding="utf-8"))
    device = content.get("device", "auto") if content.get("backbone") == "qwen2.5-vl" else "cpu"
    if device != "cpu":
        model = Path(str(content.get("model", ""))).expanduser()
        yield "vlm", device, _weights(place / model if (place / model).is_dir() else model)


def _weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))

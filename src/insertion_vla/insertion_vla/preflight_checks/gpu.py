"""Memory of the GPU, when the launch is going to compute there; torch is loaded for this and for nothing else."""

from collections.abc import Iterator
from pathlib import Path

from insertion_vla_core.strict_yaml import load_strict
from insertion_vla_policy.backbones.qwen_settings import QwenSettings
from insertion_vla_policy.checkpoint_config import load_config
from insertion_vla_policy.registry import backbone_folder, checkpoint_folder

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
    if wanted.name != "qwen2.5-vl":
        return  # tiny_vl runs on the CPU
    settings = load_strict(place / "config.yaml", QwenSettings, "a backbone qwen2.5-vl")
    if settings.device != "cpu":
        model = place / settings.model
        yield "vlm", settings.device, _weights(model if model.is_dir() else Path(settings.model).expanduser())


def _weights(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))

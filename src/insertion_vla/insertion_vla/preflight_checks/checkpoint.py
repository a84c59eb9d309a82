"""The policy's files: content against the model card, contract against the graph's, backbone there and of these views.

Without torch: nothing is loaded. The nodes check what is left (shapes, and the hash of a backbone outside the folder).
"""

from pathlib import Path

from insertion_vla_core.contract import differences, parse_contract
from insertion_vla_policy.checkpoint_config import BackboneRef, load_config
from insertion_vla_policy.model_card import CARD, check_card
from insertion_vla_policy.registry import backbone_folder, checkpoint_folder

from insertion_vla.preflight_checks.finding import Finding
from insertion_vla.preflight_checks.selection import Selection

CONTRACT, WEIGHTS = "contract.yaml", "model.safetensors"
NAMED = 3  # differences that a row lists
_COPY = "copy the whole folder again, or name another policy:="


def check_checkpoint(selection: Selection) -> list[Finding]:
    """Files, contract and backbone of the policy."""
    folder = None if selection.scripted else checkpoint_folder(selection.policy)
    if folder is None:
        selection.contract()  # refuses one that cannot be read
        return [Finding("checkpoint", "ok", f"'{selection.policy}' has no files")]
    try:
        config = load_config(folder)
        if not (folder / CARD).is_file():
            raise ValueError(f"expected {CARD} in {folder}, not there")
        hashes = check_card(folder)
    except ValueError as error:
        return [Finding("checkpoint", "fix", str(error), _COPY)]
    if config.vla is None:
        fix = "name a policy on the contract's observations"
        return [Finding("checkpoint", "fix", f"{folder} holds a state policy, which does not run in the graph", fix)]
    model = f"{config.vla.expert}-{config.vla.decoder.size}"
    whole = f"{model} in {folder}: {len(hashes)} files as {CARD} says, weights {hashes[WEIGHTS][:12]}"
    return [
        Finding("checkpoint", "ok", whole),
        _contract(selection, folder),
        _backbone(selection, folder, config.backbone),
    ]


def _contract(selection: Selection, folder: Path) -> Finding:
    live = selection.contract()
    try:
        own = parse_contract((folder / CONTRACT).read_text(encoding="utf-8"), str(folder / CONTRACT))
    except (OSError, ValueError) as error:
        return Finding("contract", "fix", str(error), _COPY)
    if wrong := differences(own, live):
        more = f" and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        text = f"the policy was trained on another contract (policy against graph): {'; '.join(wrong[:NAMED])}{more}"
        fix = f"set action_expert.contract_file to {folder / CONTRACT}, or train again"
        return Finding("contract", "fix", text, fix)
    return Finding("contract", "ok", f"'{live.name}', the same as in training")


def _backbone(selection: Selection, folder: Path, wanted: BackboneRef | None) -> Finding:
    if wanted is None:
        return Finding(
            "backbone", "fix", "the policy does not see, and vlm has nothing to run", "name another policy:="
        )
    if wanted.views and wanted.views != selection.views:
        names = ",".join(wanted.views)
        text = f"trained with the views {names}, this launch has {','.join(selection.views)}"
        return Finding("backbone", "fix", text, f"launch with cameras:={names}, or train again")
    if not wanted.source:
        return Finding("backbone", "ok", f"'{wanted.model_id}' has no files")
    place = backbone_folder(folder, wanted)
    if not (place / "config.yaml").is_file():
        fix = f"put the backbone that config.yaml names as 'source' at {place}, or train again"
        return Finding("backbone", "fix", f"expected '{wanted.model_id}' in {place}, not there", fix)
    outside = "" if place.is_relative_to(folder) else f" in {place}, whose hash vlm checks when it loads"
    return Finding(
        "backbone", "ok", f"'{wanted.model_id}' {wanted.model_hash}{outside}, views {','.join(wanted.views)}"
    )

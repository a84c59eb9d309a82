"""The policy object: what the node, the evaluation and the notebook get from a folder."""

import dataclasses

import numpy as np
import pytest
import torch
from insertion_vla_core.observation import Entry, Missing, Observation
from insertion_vla_policy.backends import TOLERANCE, UNROLLED
from insertion_vla_policy.inputs import action_target, build_inputs
from insertion_vla_policy.policy import Policy, nearest_to_all
from insertion_vla_policy.run_options import RunOptions
from model_rig import SPEC, checkpoint, normalizer
from observation_rig import CONTRACT, MS, TICK_NS, builder, features, observation


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("policies")
    return {expert: checkpoint(root / expert, expert) for expert in ("regression", "diffusion")}


def test_the_policy_is_the_model_behind_normalisation(folders):
    policy, seen = Policy.load(folders["regression"]), observation()
    action = policy(seen)
    inputs = {name: torch.from_numpy(value)[None] for name, value in build_inputs(seen, SPEC).items()}
    with torch.inference_mode():
        wanted = normalizer().actions(policy.checkpoint.model.act(normalizer().normalize(inputs)))[0].numpy()
    assert np.allclose(action_target(action.deltas, action.aux)[:, :6], wanted[:, :6], atol=1e-6)
    assert action.deltas.shape == (8, 6) and action.aux.shape == (8,)
    assert policy.policy_id == f"regression-nano-{policy.checkpoint.sha256[:12]}"


def test_the_reply_says_how_long_it_took(folders):
    timing = Policy.load(folders["diffusion"], RunOptions(steps=2))(observation()).timing
    assert set(timing) == {"inputs", "model", "total"}
    assert all(seconds > 0.0 for seconds in timing.values())
    assert timing["total"] >= timing["inputs"] + timing["model"]


def test_sampling_repeats_with_the_seed_and_the_generator(folders):
    policy, seen = Policy.load(folders["diffusion"], RunOptions(steps=3, seed=7)), observation()
    policy.reset("1", "insert")
    goal = [policy(seen).deltas for _ in range(2)]
    policy.reset("2", "insert")
    again = [policy(seen).deltas for _ in range(2)]
    assert np.array_equal(goal, again) and not np.array_equal(goal[0], goal[1])
    draws = [policy(seen, torch.Generator().manual_seed(seed)).deltas for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])
    other = Policy.load(folders["diffusion"], RunOptions(steps=3, seed=8))(seen).deltas
    assert not np.array_equal(other, goal[0])


def test_ddpm_repeats_with_the_seed_too(folders):
    policy, seen = Policy.load(folders["diffusion"], RunOptions(steps=4, method="ddpm")), observation()
    first, second = (policy(seen, torch.Generator().manual_seed(3)).deltas for _ in range(2))
    assert np.array_equal(first, second)


def test_of_many_samples_the_middle_one_is_taken_and_their_spread_told(folders):
    policy, seen = Policy.load(folders["diffusion"], RunOptions(steps=2, samples=4)), observation()
    action = policy(seen, torch.Generator().manual_seed(0))
    drawn = policy.draw(seen, 4, torch.Generator().manual_seed(0)).actions
    assert drawn.shape == (4, 8, 7)
    chosen, spread_m = nearest_to_all(drawn)
    assert np.allclose(action.deltas, chosen[:, :6]) and action.spread_m == pytest.approx(spread_m) and spread_m > 0.0
    assert policy.draw(seen, 6).actions.shape == (6, 8, 7), "more than one group of samples"


def test_the_nearest_to_all_is_a_sample_and_the_spread_a_length():
    ends = np.zeros((3, 8, 7), np.float32)
    ends[:, -1, 0] = [0.0, 0.001, 0.010]
    chosen, spread_m = nearest_to_all(ends)
    assert np.array_equal(chosen, ends[1])
    assert spread_m == pytest.approx(np.std([0.0, 0.001, 0.010]))


def test_it_holds_when_its_samples_disagree(folders):
    options = RunOptions(steps=2, samples=4, max_spread_m=1e-9)
    action = Policy.load(folders["diffusion"], options)(observation())
    assert (action.deltas == 0.0).all()
    assert action.status.startswith("hold: 4 samples are ") and action.status.endswith(" mm apart, allowed 0.0 mm")


def test_features_of_another_backbone_are_refused(folders):
    policy, seen = Policy.load(folders["regression"]), observation()
    stamp = TICK_NS - 300 * MS
    other = Entry(stamp, features(stamp, model=("color_keypoints", "hash-2")))
    with pytest.raises(ValueError, match="'color_keypoints' hash-1, with which .* got 'color_keypoints' hash-2: start"):
        policy(Observation(seen.stamp_ns, {**seen.streams, "features": other}, seen.newest_ns))


def test_missing_robot_state_is_missing(folders):
    stream = builder()
    stream.push("joints", TICK_NS + 5 * MS, TICK_NS + 5 * MS, [np.nan] * 6)
    with pytest.raises(Missing, match="'joints' is missing"):
        Policy.load(folders["regression"])(stream.build(TICK_NS + 8 * MS))


def test_no_force_and_no_surface_still_act(folders):
    policy = Policy.load(folders["regression"])
    assert np.isfinite(policy(observation(surface=False)).deltas).all()


@pytest.mark.parametrize(
    ("expert", "backend"),
    [("diffusion", "onnx"), ("diffusion", "traced"), ("regression", "traced"), ("regression", "onnx_int8")],
)
def test_another_back_end_gives_the_same_action(folders, expert, backend):
    seen = observation()
    plain, other = (Policy.load(folders[expert], RunOptions(steps=2, backend=b)) for b in ("eager", backend))
    wanted, got = (policy(seen, torch.Generator().manual_seed(0)).deltas for policy in (plain, other))
    error = np.sqrt(np.mean((got - wanted) ** 2) / np.mean(wanted**2))
    # Two steps of a model that was never trained enlarge the difference of one.
    assert error < 3 * TOLERANCE[backend] and (backend == "onnx_int8") == (error > 1e-4)


@pytest.mark.parametrize("options", [{"steps": UNROLLED}, {"steps": UNROLLED + 1}, {"steps": 3, "method": "ddpm"}])
def test_traced_is_exact_as_one_program_and_step_by_step(folders, options):
    seen = observation()
    plain, traced = (
        Policy.load(folders["diffusion"], RunOptions(backend=backend, **options)) for backend in ("eager", "traced")
    )
    for _ in range(2):  # the noise goes on from one chunk to the next
        assert traced(seen).deltas == pytest.approx(plain(seen).deltas, rel=1e-3, abs=1e-6)


def test_a_back_end_that_differs_is_refused(folders, monkeypatch):
    monkeypatch.setitem(TOLERANCE, "onnx_int8", 1e-6)
    with pytest.raises(ValueError, match="backend 'onnx_int8' differs from plain torch by .*choose backend 'eager'"):
        Policy.load(folders["regression"], RunOptions(backend="onnx_int8"))


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"backend": "cuda_graph"}, "'cuda_graph' needs device 'cuda', got 'cpu'"),
        ({"backend": "onnx", "device": "cuda"}, "'onnx' runs on device 'cpu', got 'cuda'"),
        ({"backend": "cuda_graph", "device": "cuda", "method": "ddpm"}, "needs the method 'ddim'"),
        ({"steps": 101}, "expected 1 to 100 sampling steps, got 101"),
    ],
)
def test_impossible_options_are_refused(folders, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Policy.load(folders["diffusion"], RunOptions(**options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("backend", ["eager", "compile", "cuda_graph"])
def test_cuda_is_refused_where_there_is_none(folders, backend):
    with pytest.raises(ValueError, match="torch sees no GPU here: choose device 'cpu'"):
        Policy.load(folders["diffusion"], RunOptions(backend=backend, device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("expert", ["regression", "diffusion"])
def test_on_a_gpu_it_gives_what_the_cpu_gives(folders, expert):
    seen = observation()
    wanted = Policy.load(folders[expert])(seen, torch.Generator().manual_seed(0)).deltas
    for backend in ("eager", "cuda_graph"):
        policy = Policy.load(folders[expert], RunOptions(backend=backend, device="cuda"))
        assert np.allclose(policy(seen, torch.Generator().manual_seed(0)).deltas, wanted, atol=2e-4)


def test_another_contract_is_refused(folders):
    force = CONTRACT.stream("force").model_copy(update={"max_age_s": 0.5})
    streams = tuple(force if stream.name == "force" else stream for stream in CONTRACT.observations)
    with pytest.raises(ValueError, match=r"observations.force.max_age_s: 0.06 against 0.5"):
        Policy.load(folders["regression"], contract=CONTRACT.model_copy(update={"observations": streams}))


def test_two_policies_in_one_process_do_not_disturb_each_other(folders):
    seen = observation()
    one, two = (Policy.load(folders["diffusion"], RunOptions(steps=2)) for _ in range(2))
    alone = [one(seen).deltas for _ in range(2)]
    one.reset("", "")
    mixed = []
    for _ in range(2):
        mixed.append(one(seen).deltas)
        two(seen)
    assert np.array_equal(alone, mixed)
    assert dataclasses.is_dataclass(one(seen))

"""Claims that need arms of their own: the same work with one thing changed (recipe `r1-claims`)."""

from __future__ import annotations

from palestra.evaluation.claims.evidence import (
    Claim,
    Evidence,
    Finding,
    Verdict,
    at_least,
    combine,
    compare,
    ends,
    higher,
    mean_of,
    same_ground,
    show,
)
from palestra.evaluation.metrics import Measure
from palestra.evaluation.pooling import Json, lookup, number, record

_FEW_SHOT = "general/FewShot-v1"


def _grpo_costs_less(run: Evidence) -> Finding | None:
    """Seconds of log-probs and updates a step, and the bytes of a checkpoint."""
    found = run.arms("grpo", "ppo_lambda_1")
    if found is None:
        return None
    grpo, ppo = (_update_seconds(run, stage) for stage in found)
    sizes = [number(record(stage.get("facts")).get("checkpoint_bytes")) for stage in found]
    if grpo is None or ppo is None or not all(sizes):
        return None
    state = (sizes[0] or 0.0) / (sizes[1] or 1.0)
    smaller = Verdict.REPRODUCED if state < 1 else Verdict.NOT_REPRODUCED
    return Finding(
        verdict=combine(compare(ppo, grpo), smaller),
        text=f"updates of {show(grpo, 2)} s a step against {show(ppo, 2)} s "
        f"({grpo.value / ppo.value:.0%}); weights and optimizer state {state:.0%}",
        numbers={
            "seconds grpo": grpo,
            "seconds ppo": ppo,
            "state": Measure(state, (state, state), 1),
        },
    )


def _update_seconds(run: Evidence, stage: Json) -> Measure | None:
    parts = ("seconds/logprobs", "seconds/backward")
    rows = [[number(row.get(part)) for part in parts] for row in run.curve(stage)]
    values = [sum(x or 0.0 for x in row) for row in rows if None not in row]
    return mean_of(values) if len(values) > 1 else None


def _ppo_needs_lambda_1(run: Evidence) -> Finding | None:
    found = run.arms("ppo_lambda_1", "ppo_lambda_0.95")
    return higher(found[0], found[1], ("pass@1",)) if found else None


def _grpo_matches_ppo(run: Evidence) -> Finding | None:
    found = run.arms("grpo", "ppo_lambda_1")
    pair = same_ground(found[0], found[1], "pass@1") if found else None
    if pair is None:
        return None
    return Finding(
        verdict=at_least(*pair),
        text=f"pass@1 {show(pair[0])} GRPO, {show(pair[1])} PPO",
        numbers={"pass@1 grpo": pair[0], "pass@1 ppo": pair[1]},
    )


def _few_shot_hurts(run: Evidence) -> Finding | None:
    found = run.arms("zero_shot", "few_shot")
    if found is None:
        return None
    zero, few = (lookup(record(s.get("evals")).get(_FEW_SHOT), "pass@1") for s in found)
    if zero is None or few is None:
        return None
    return Finding(
        verdict=compare(zero, few),
        text=f"pass@1 of R1 {show(zero)} without examples, {show(few)} with",
        numbers={"pass@1 zero-shot": zero, "pass@1 few-shot": few},
    )


def _longer_cap_helps(run: Evidence) -> Finding | None:
    found = run.arms("cap_raised", "cap_kept")
    finding = higher(found[0], found[1], ("pass@1",)) if found else None
    if found is None or finding is None:
        return None
    cut = [ends(run.curve(stage), "truncated") for stage in found]
    shares = [f"{pair[1].value:.0%}" for pair in cut if pair is not None]
    more = f"; cut short at the end: {' and '.join(shares)}" if len(shares) == 2 else ""
    return Finding(verdict=finding.verdict, text=finding.text + more, numbers=finding.numbers)


def _sft_from_base(run: Evidence) -> Finding | None:
    arm, sft = run.role("ablation", "sft_from_rl"), run.role("sft")
    pair = same_ground(sft, arm, "pass@1") if sft and arm else None
    if pair is None:
        return None
    return Finding(
        verdict=at_least(*pair),
        text=f"pass@1 {show(pair[0])} from base, {show(pair[1])} from the RL checkpoint",
        numbers={"pass@1 from base": pair[0], "pass@1 from RL": pair[1]},
    )


def _low_clip_hurts(run: Evidence) -> Finding | None:
    found = run.arms("clip_10", "clip_0.2")
    return higher(found[0], found[1], ("pass@1",)) if found else None


def _high_clip_is_unstable(run: Evidence) -> Finding | None:
    found = run.arms("clip_10", "clip_100")
    return higher(found[0], found[1], ("pass@1",)) if found else None


def _length_is_no_artefact(run: Evidence) -> Finding | None:
    """Dr. GRPO has no division by the length, which favours long wrong answers."""
    arm = run.role("ablation", "dr_grpo")
    found = ends(run.curve(arm), "length") if arm else None
    if found is None:
        return None
    first, last = found
    return Finding(
        verdict=compare(last, first),
        text=f"with Dr. GRPO {show(first, 1)} tokens at first, {show(last, 1)} at last",
        numbers={"length first steps": first, "length last steps": last},
    )


def _neural_reward_is_hacked(run: Evidence) -> Finding | None:
    """What a neural reward model pays rises while accuracy falls; under rules it does not fall."""
    arm, sft, r1 = run.role("ablation", "neural_reward"), run.role("sft"), run.role("r1")
    if arm is None or sft is None or r1 is None:
        return None
    proxy = ends(run.curve(arm), "reward")
    before, after = same_ground(sft, arm, "pass@1"), same_ground(r1, sft, "pass@1")
    if proxy is None or before is None or after is None:
        return None
    first, last = proxy
    return Finding(
        verdict=combine(compare(last, first), compare(*before), at_least(*after)),
        text=f"its score {show(first, 2)} at first, {show(last, 2)} at last; pass@1 "
        f"{show(before[0])} before, {show(before[1])} after, {show(after[0])} after RL with rules",
        numbers={"score first": first, "score last": last, "pass@1 after": before[1]},
    )


ARM_CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="length_is_no_artefact",
        claim="Responses grow longer without GRPO's division by their length, too",
        source="Figure 1b; the bias is Dr. GRPO's finding (arXiv 2503.20783)",
        judge=_length_is_no_artefact,
    ),
    Claim(
        id="longer_cap_helps",
        claim="Raising the maximum length in mid-run raises accuracy",
        source="Section 2.1: a jump at step 8,200, where 32,768 became 65,536 tokens",
        judge=_longer_cap_helps,
    ),
    Claim(
        id="grpo_costs_less",
        claim="GRPO costs less than PPO on the same work",
        source="Section 2.1: no critic. The paper gives no figure; secondary accounts say half",
        judge=_grpo_costs_less,
    ),
    Claim(
        id="grpo_matches_ppo",
        claim="GRPO is at least as accurate as PPO with lambda 1 at equal samples",
        source="Figure 4 (16B MoE, MATH): close",
        judge=_grpo_matches_ppo,
    ),
    Claim(
        id="ppo_needs_lambda_1",
        claim="PPO with lambda 0.95 is worse than with 1.0",
        source="Figure 4 (16B MoE, MATH): far worse",
        judge=_ppo_needs_lambda_1,
    ),
    Claim(
        id="low_clip_hurts",
        claim="A low clip ratio hurts where a rollout has many updates",
        source="Section 3.2.1: epsilon 10, 16 updates a rollout",
        judge=_low_clip_hurts,
    ),
    Claim(
        id="high_clip_is_unstable",
        claim="A clip ratio that is too high is unstable",
        source="Section 3.2.1",
        judge=_high_clip_is_unstable,
    ),
    Claim(
        id="sft_from_base",
        claim="SFT from base is at least as good as SFT from the RL checkpoint",
        source="Section B.4.2: the 800k SFT restarts from base; no figure",
        judge=_sft_from_base,
    ),
    Claim(
        id="few_shot_hurts",
        claim="Few-shot prompts are worse than zero-shot ones on the trained model",
        source="Section 6: no figure",
        judge=_few_shot_hurts,
    ),
    Claim(
        id="neural_reward_is_hacked",
        claim="A neural reward model is hacked where a rule is not",
        source="Section 3.2.2 and Figure 6: the model's score up, Codeforces down",
        judge=_neural_reward_is_hacked,
    ),
)

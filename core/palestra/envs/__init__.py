"""The environment contract: tasks, text environments and scores."""

from palestra.envs.env import MultiTurnEnv, SingleTurnEnv, TextEnv, Turn, single_turn, verdict
from palestra.envs.score import Score, Status
from palestra.envs.spaces import TextSpace
from palestra.envs.task import Message, Task
from palestra.splits import SPLITS, Split, prompt_hash, split_of

__all__ = [
    "SPLITS",
    "Message",
    "MultiTurnEnv",
    "Score",
    "SingleTurnEnv",
    "Split",
    "Status",
    "Task",
    "TextEnv",
    "TextSpace",
    "Turn",
    "prompt_hash",
    "single_turn",
    "split_of",
    "verdict",
]

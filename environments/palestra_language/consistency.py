"""`language/Consistency-v1`: answer a question of any other environment, thinking in language X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from palestra.envs import Score, Task
from palestra.errors import ConfigError
from palestra.rewards.language import chain_of_thought
from palestra_general.questions import RewordedEnv, with_last
from palestra_language.languages import checked
from palestra_language.share import target_language_share

ASKED = {
    "en": "Think in English, and explain each step in English.",
    "zh": "请用中文思考，并用中文说明每一步。",
    "ja": "日本語で考え、各ステップを日本語で説明してください。",
    "ko": "한국어로 생각하고, 각 단계를 한국어로 설명하세요.",
    "ru": "Думай по-русски и объясняй каждый шаг по-русски.",
    "ar": "فكّر بالعربية واشرح كل خطوة بالعربية.",
    "de": "Denke auf Deutsch und erkläre jeden Schritt auf Deutsch.",
    "fr": "Réfléchis en français et explique chaque étape en français.",
    "es": "Piensa en español y explica cada paso en español.",
}
"""How each language is asked for: in itself, so that nothing draws the policy into another."""

_THOUGHTS = {
    "en": "I work through the question step by step and then I write down the answer.",
    "zh": "我一步一步地想这个问题，然后写下答案。",
    "ja": "この問題を一歩ずつ考えて、それから答えを書きます。",
    "ko": "이 문제를 차근차근 생각한 다음 답을 적습니다.",
    "ru": "Я решаю задачу шаг за шагом, а потом записываю ответ.",
    "ar": "أحل المسألة خطوة بعد خطوة ثم أكتب الجواب.",
    "de": "Ich löse die Aufgabe Schritt für Schritt und schreibe dann die Antwort auf.",
    "fr": "Je résous le problème étape par étape et ensuite j'écris la réponse.",
    "es": "Resuelvo el problema paso a paso y después escribo la respuesta.",
}


class ConsistencyEnv(RewordedEnv):
    """Pays for a right answer as much as its thoughts are in the language asked for.

    The components are the source's, and ``language_share``; the value is the source's reward times
    the share, because consistent nonsense is worth nothing.

    Args:
        env: the id of the environment whose questions are asked.
        env_kwargs: arguments of its constructor.
        languages: which languages to ask for, each as often as the others.

    Raises:
        ConfigError: a language in which nobody here can ask.
    """

    def __init__(
        self,
        env: str = "math/Arithmetic-v1",
        env_kwargs: Mapping[str, object] | None = None,
        languages: Sequence[str] = tuple(ASKED),
    ) -> None:
        super().__init__(env, env_kwargs)
        given = [languages] if isinstance(languages, str) else list(languages)
        self.languages = [checked(language) for language in given]
        unasked = [code for code in self.languages if code not in ASKED]
        if unasked or not self.languages:
            asked = ", ".join(ASKED)
            raise ConfigError(f"language/Consistency-v1: languages are of {asked}, not {unasked}")

    def reword(self, task: Task, rng: np.random.Generator) -> Task:
        """Ask for a language, in the language itself."""
        language = self.languages[int(rng.integers(len(self.languages)))]
        question = f"{task.messages[-1]['content']}\n{ASKED[language]}"
        return replace(task, prompt=with_last(task.messages, question), language=language)

    def grade(self, task: Task, completion: str) -> Score:
        """Multiply the source's reward with the share of the language."""
        score = super().grade(task, completion)
        if not score.status.is_valid:
            return score
        share = target_language_share(chain_of_thought(completion), str(task.language))
        return replace(
            score,
            value=score.value * share,
            components={**score.components, "language_share": share},
            reason=score.reason or ("" if share == 1 else f"{share:.0%} in {task.language}"),
        )

    def reference_completion(self, task: Task) -> str | None:
        """Return the source's worked solution in the language, or a sentence and its answer."""
        worked = self._worked(task)
        if worked is not None:
            return worked
        answer = self.reference_answer(task)
        thoughts = _THOUGHTS[str(task.language)]
        return None if answer is None else f"<think>{thoughts}</think><answer>{answer}</answer>"

    def _worked(self, task: Task) -> str | None:
        """Return the source's solution in the language asked for, where it can write that."""
        self.source.reset(options={"task_id": str(task.metadata["source_id"])})
        assert self.source.task is not None
        asked = replace(self.source.task, language=task.language)
        try:
            worked = self.source.reference_completion(asked)
        except LookupError:  # the source has no words for this language
            return None
        if worked is None:
            return None
        share = target_language_share(chain_of_thought(worked), str(task.language))
        return worked if share == 1 else None

    def probes(self, task: Task) -> list[str]:
        """Try the right answer with thoughts in another language, and without thoughts."""
        answer = self.reference_answer(task)
        other = next(code for code in ("zh", "en") if code != task.language)
        fluent = _THOUGHTS[str(task.language)]
        return [
            f"<think>{fluent}</think><answer>{task.language}</answer>",
            f"<think>{fluent}</think>",
            f"<think>{ASKED[str(task.language)]}</think>{answer}",
            f"<think>{fluent} {answer}</think><answer>{fluent}</answer>",
            f"<think>{_THOUGHTS[other]}</think><answer></answer>",
        ]

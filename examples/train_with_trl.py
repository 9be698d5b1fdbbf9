"""Two steps of TRL's own GRPOTrainer on a Palestra environment, with the embedded model.

python examples/train_with_trl.py OUTPUT_FOLDER
"""

import sys

from trl import GRPOConfig, GRPOTrainer

from palestra.integrations.trl import dataset, reward_function
from palestra.tiny.paths import base_dir

ENV = "math/Arithmetic-v1"


def main(output_dir: str) -> None:
    trainer = GRPOTrainer(
        model=str(base_dir()),
        train_dataset=dataset(ENV, size=64, difficulty=1),
        reward_funcs=reward_function(ENV, rewards={"accuracy": 1.0, "format": 0.1}),
        args=GRPOConfig(
            output_dir=output_dir,
            max_steps=2,
            per_device_train_batch_size=16,
            num_generations=8,
            max_completion_length=72,
            learning_rate=1e-4,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            use_cpu=True,
            bf16=False,
        ),
    )
    trainer.train()
    for entry in trainer.state.log_history:
        if "reward" in entry:
            print(f"step {entry['step']}: reward {entry['reward']:.3f}, loss {entry['loss']:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:2] or ["trl-output"])

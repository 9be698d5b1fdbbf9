from palestra.stages.config import EvalConfig, EvalEnv

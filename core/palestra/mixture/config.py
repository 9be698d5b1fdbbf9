from palestra.stages.config import MixtureConfig, SourceConfig

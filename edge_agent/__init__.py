"""edge-agent: serve a local LLM on a small machine and know, from far away, exactly how it does."""

__version__ = "0.1.0"

//! The 24 ELM tasks: prompts with item places, and targets.

//! Tables as text, Markdown, LaTeX and CSV; no knowledge of experiments.

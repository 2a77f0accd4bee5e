"""The paper's tables: from a test split and trained models to figures, plots and a page."""

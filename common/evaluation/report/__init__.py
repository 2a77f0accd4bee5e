"""The report of the command `tables`: the paper's tables, plots and a page on a test split."""

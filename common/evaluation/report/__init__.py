"""The report that `tables` writes: the paper's tables, plots and a page, of a test split."""

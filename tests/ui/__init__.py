"""Tests in a real browser: one cluster, one JupyterLab and one browser for all of them."""

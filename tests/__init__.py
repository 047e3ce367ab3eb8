"""Tests, one folder an area; `builders.py` holds what several areas build."""

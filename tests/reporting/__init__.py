"""Tests of tables, figures, the leaderboard and the result record they are built from."""

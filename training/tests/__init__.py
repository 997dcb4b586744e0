"""Tests of the trainer; they need its own environment (requirements.txt)."""
